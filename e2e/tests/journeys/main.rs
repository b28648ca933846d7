//! Journeys of shoppers through one whole fleet, seen from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod bounds;
mod buying;
mod doors;
mod grpcurl;
mod json_door;
mod outages;
mod readme;

use std::{process::ExitCode, sync::Arc};

use e2e::World;
use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;

macro_rules! journeys {
    ($runtime:expr, $world:expr, [$($module:ident :: $name:ident),* $(,)?]) => {
        vec![$({
            let (runtime, world) = (Arc::clone(&$runtime), $world.clone());
            Trial::test(concat!(stringify!($module), "::", stringify!($name)), move || {
                let world = world.expect("a fleet runs whenever a journey does");
                runtime.block_on($module::$name(&world));
                Ok(())
            })
        }),*]
    };
}

fn main() -> ExitCode {
    let runtime = Arc::new(Runtime::new().unwrap());
    if grpcurl::is_asked_for() {
        let called = runtime
            .block_on(grpcurl::call())
            .inspect_err(|error| stack::terminal::print_error(format_args!("{error:#}")));
        return if called.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let arguments = Arguments::from_args();
    let world = (!arguments.list).then(|| Arc::new(runtime.block_on(World::start()).expect("the fleet starts")));
    let trials = journeys!(
        runtime,
        world,
        [
            buying::the_story_of_the_demo_holds_at_both_doors,
            buying::a_purchase_is_told_in_the_history_and_by_telegram_in_the_order_of_its_statuses,
            buying::sixty_four_shoppers_for_the_last_ten_units_make_exactly_ten_orders,
            bounds::services_live_at_both_ends_of_what_their_configuration_takes,
            doors::strangers_are_refused_where_a_certificate_is_demanded_and_served_where_it_is_not,
            doors::every_service_has_health_reflection_metrics_and_a_trace_id,
            json_door::a_purchase_over_http_alone_ends_with_three_messages,
            json_door::a_key_in_the_header_makes_a_repetition_answer_the_same_order,
            json_door::a_refusal_is_the_same_at_both_doors,
            json_door::a_call_over_http_is_counted_and_logged_once,
            json_door::strangers_are_refused_over_http_where_a_certificate_is_demanded,
            outages::a_checkout_killed_during_purchases_loses_none_and_doubles_none,
            outages::messages_that_telegram_refuses_for_a_while_arrive_later_and_in_order,
            readme::the_walks_of_the_readme_show_all_three_messages_when_they_are_pasted_at_once,
        ]
    );
    let conclusion = libtest_mimic::run(&arguments, trials);
    if let Some(world) = world.and_then(Arc::into_inner) {
        runtime.block_on(world.stop());
    }
    conclusion.exit_code()
}
