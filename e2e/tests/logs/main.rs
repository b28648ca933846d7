//! What three services write to their logs at every level, while shoppers buy things and much goes wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod fields;
mod graylog;
mod secrets;
mod service;
mod story;

use std::{process::ExitCode, sync::Arc};

use libtest_mimic::{Arguments, Trial};
use story::Story;

macro_rules! trials {
    ($story:expr, [$($module:ident :: $name:ident),* $(,)?]) => {
        vec![$({
            let story = $story.clone();
            Trial::test(concat!(stringify!($module), "::", stringify!($name)), move || {
                $module::$name(&story.expect("the story is told whenever a test runs"));
                Ok(())
            })
        }),*]
    };
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let story = (!arguments.list).then(|| Arc::new(runtime.block_on(Story::tell())));
    let trials = trials!(
        story,
        [
            fields::every_line_is_made_of_listed_fields,
            fields::a_failure_is_one_line_with_its_causes,
            graylog::every_line_is_in_graylog_as_it_is_in_the_log,
            secrets::no_secret_shows_in_logs_metrics_or_traces_whatever_fails,
        ]
    );
    libtest_mimic::run(&arguments, trials).exit_code()
}
