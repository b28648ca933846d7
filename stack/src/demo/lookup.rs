//! How a trace of the fleet is looked up.

use crate::fleet::{Addresses, shown};

/// Where the spans and the log lines of Anna's purchase are.
pub fn of(trace_id: &str, fleet: &Addresses) -> String {
    let spans = match (fleet.jaeger, &fleet.otlp) {
        (Some(jaeger), _) => format!("In Jaeger, from the click to the message:\n  http://{jaeger}/trace/{trace_id}"),
        (None, Some(endpoint)) => format!("Its spans went to {endpoint}."),
        (None, None) => "To see it as a picture, start the fleet with a Jaeger beside it and tell the story again:\n  \
                         make run ARGS=--observability"
            .to_owned(),
    };
    let logs = [&fleet.checkout, &fleet.loms, &fleet.notifications].map(|it| shown(&it.log).display().to_string());
    format!(
        "Anna's purchase is trace {trace_id}. What the services logged of it:\n  grep -h {trace_id} {} | sort\n{spans}",
        logs.join(" ")
    )
}
