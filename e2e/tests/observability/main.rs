//! Traces, metrics and dashboards of a whole fleet.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod collectors;
mod dashboards;
mod metrics;
mod sampling;
mod shapes;
mod traces;
mod tree;
mod world;

use std::{process::ExitCode, sync::Arc};

use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;
use world::TracedWorld;

macro_rules! trials {
    ($runtime:expr, $world:expr, [$($module:ident :: $name:ident),* $(,)?]) => {
        vec![$({
            let (runtime, world) = (Arc::clone(&$runtime), $world.clone());
            Trial::test(concat!(stringify!($module), "::", stringify!($name)), move || {
                let world = world.expect("a fleet runs whenever a test does");
                runtime.block_on($module::$name(&world));
                Ok(())
            })
        }),*]
    };
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let runtime = Arc::new(Runtime::new().unwrap());
    let world = (!arguments.list).then(|| Arc::new(runtime.block_on(TracedWorld::start()).expect("the fleet starts")));
    let trials = trials!(
        runtime,
        world,
        [
            collectors::a_collector_that_is_away_or_stalls_is_told_of_once_and_no_client_notices,
            dashboards::every_query_of_every_panel_answers_and_every_link_leads_to_traces,
            dashboards::every_panel_has_a_place_a_title_and_a_word_on_what_it_means,
            dashboards::what_dashboards_refer_to_exists,
            metrics::services_show_exactly_the_metrics_that_the_docs_list,
            metrics::promtool_finds_no_fault_in_what_services_show,
            metrics::calls_and_transactions_are_counted_from_zero_on,
            metrics::the_ends_of_certificates_are_told_and_anew_when_the_files_change,
            sampling::a_call_that_its_caller_does_not_sample_is_logged_and_exported_nowhere,
            sampling::a_service_that_samples_nothing_by_itself_follows_its_callers,
            sampling::steps_that_find_nothing_to_do_are_exported_nowhere,
            sampling::a_refusal_marks_the_call_that_met_it_and_nobody_who_did_as_told,
            sampling::a_fault_marks_every_call_that_it_fails,
            traces::a_purchase_is_one_trace_from_the_click_to_the_message,
            traces::a_purchase_in_doubt_is_finished_in_a_trace_of_its_own_that_leads_to_the_click,
            traces::an_order_that_expires_is_told_in_a_trace_of_its_own_that_leads_to_its_beginning,
        ]
    );
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Some(world) = world.and_then(Arc::into_inner) {
        runtime.block_on(world.stop());
    }
    conclusion.exit_code()
}
