//! Tells people how to look up a trace of the fleet.

use crate::fleet::{Addresses, ServiceAddresses, shown};

pub fn instructions(trace_id: &str, fleet: &Addresses) -> String {
    let spans = match (fleet.jaeger, &fleet.otlp) {
        (Some(jaeger), _) => format!("In Jaeger, from the click to the message:\n  http://{jaeger}/trace/{trace_id}"),
        (None, Some(endpoint)) => format!("Its spans went to {endpoint}."),
        (None, None) => "To see it as a picture, start the fleet with a Jaeger beside it and tell the story again:\n  \
                         make run ARGS=--observability"
            .to_owned(),
    };
    let log = |service: &ServiceAddresses| shown(&service.log).display().to_string();
    let logs = [&fleet.checkout, &fleet.loms, &fleet.notifications].map(log).join(" ");
    format!(
        "Anna's purchase is trace {trace_id}. What the services logged of it:\n  grep -h {trace_id} {logs} | sort\n{spans}"
    )
}
