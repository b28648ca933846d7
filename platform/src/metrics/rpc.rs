//! RPCs at both ends, under the names and labels that go-grpc-prometheus made usual.

use std::{sync::LazyLock, time::Duration};

use prometheus::{HistogramVec, IntCounterVec};
use tonic::Code;

use super::{counters, latencies};
use crate::grpc::{Method, code_name};

const LABELS: [&str; 3] = ["grpc_type", "grpc_service", "grpc_method"];
const CODE_LABELS: [&str; 4] = ["grpc_type", "grpc_service", "grpc_method", "grpc_code"];

/// Calls that this process answers.
pub(crate) static SERVER: LazyLock<Rpcs> = LazyLock::new(|| Rpcs {
    started: counters("grpc_server_started_total", "RPCs started on the server.", &LABELS),
    handled: counters(
        "grpc_server_handled_total",
        "RPCs completed on the server, regardless of success or failure.",
        &CODE_LABELS,
    ),
    received: counters("grpc_server_msg_received_total", "RPC messages received by the server.", &LABELS),
    sent: counters("grpc_server_msg_sent_total", "RPC messages sent by the server.", &LABELS),
    seconds: latencies(
        "grpc_server_handling_seconds",
        "Time from the start of an RPC to its answer by the server, in seconds.",
        &LABELS,
    ),
});

/// Calls that this process makes.
pub(crate) static CLIENT: LazyLock<Rpcs> = LazyLock::new(|| Rpcs {
    started: counters("grpc_client_started_total", "RPCs started by the client.", &LABELS),
    handled: counters(
        "grpc_client_handled_total",
        "RPCs completed by the client, regardless of success or failure.",
        &CODE_LABELS,
    ),
    received: counters("grpc_client_msg_received_total", "RPC messages received by the client.", &LABELS),
    sent: counters("grpc_client_msg_sent_total", "RPC messages sent by the client.", &LABELS),
    seconds: latencies(
        "grpc_client_handling_seconds",
        "Time from the start of an RPC to its answer as the client saw it, in seconds.",
        &LABELS,
    ),
});

/// The metrics of one end.
pub(crate) struct Rpcs {
    started: IntCounterVec,
    handled: IntCounterVec,
    received: IntCounterVec,
    sent: IntCounterVec,
    seconds: HistogramVec,
}

/// Declares both ends, so that a service that calls nobody says so.
pub(super) fn declare() {
    LazyLock::force(&SERVER);
    LazyLock::force(&CLIENT);
}

impl Rpcs {
    /// Shows a method at zero, with every code.
    pub(crate) fn declare(&self, method: &Method) {
        let labels = labels(method);
        for counter in [&self.started, &self.received, &self.sent] {
            counter.with_label_values(&labels);
        }
        self.seconds.with_label_values(&labels);
        for code in (0..=16).map(Code::from_i32) {
            self.handled.with_label_values(&with_code(method, code_name(code)));
        }
    }

    /// A call began, with the one message that a unary request is: received at the server, sent at the client.
    fn start(&self, method: &Method, request: &IntCounterVec) {
        self.started.with_label_values(&labels(method)).inc();
        request.with_label_values(&labels(method)).inc();
    }

    fn end(&self, method: &Method, code: Code, took: Duration, answer: &IntCounterVec) {
        self.handled.with_label_values(&with_code(method, code_name(code))).inc();
        self.seconds.with_label_values(&labels(method)).observe(took.as_secs_f64());
        if code == Code::Ok {
            answer.with_label_values(&labels(method)).inc();
        }
    }
}

/// A call arrived.
pub(crate) fn server_started(method: &Method) {
    SERVER.start(method, &SERVER.received);
}

/// A call is answered.
pub(crate) fn server_handled(method: &Method, code: Code, took: Duration) {
    SERVER.end(method, code, took, &SERVER.sent);
}

/// A call is made.
pub(crate) fn client_started(method: &Method) {
    CLIENT.start(method, &CLIENT.sent);
}

/// A call that was made is over.
pub(crate) fn client_handled(method: &Method, code: Code, took: Duration) {
    CLIENT.end(method, code, took, &CLIENT.received);
}

/// Every RPC of the fleet is unary.
fn labels(method: &Method) -> [&str; 3] {
    ["unary", &method.service, &method.name]
}

fn with_code<'a>(method: &'a Method, code: &'a str) -> [&'a str; 4] {
    ["unary", &method.service, &method.name, code]
}
