//! RPCs at both ends, under the names and labels that go-grpc-prometheus made usual.

use std::time::Duration;

use prometheus::HistogramVec;
use tonic::Code;

use super::Counters;
use crate::{
    grpc::{Method, code_name},
    metrics,
};

const LABELS: [&str; 3] = ["grpc_type", "grpc_service", "grpc_method"];
const CODE_LABELS: [&str; 4] = ["grpc_type", "grpc_service", "grpc_method", "grpc_code"];

metrics! {
    /// RPCs started on the server.
    SERVER_STARTED: Counters<3> = counters_of_any("grpc_server_started_total", LABELS);
    /// RPCs completed on the server, regardless of success or failure.
    SERVER_HANDLED: Counters<4> = counters_of_any("grpc_server_handled_total", CODE_LABELS);
    /// RPC messages received by the server.
    SERVER_RECEIVED: Counters<3> = counters_of_any("grpc_server_msg_received_total", LABELS);
    /// RPC messages sent by the server.
    SERVER_SENT: Counters<3> = counters_of_any("grpc_server_msg_sent_total", LABELS);
    /// Time from the start of an RPC to its answer by the server, in seconds.
    SERVER_SECONDS: HistogramVec = latencies("grpc_server_handling_seconds", &LABELS);
    /// RPCs started by the client.
    CLIENT_STARTED: Counters<3> = counters_of_any("grpc_client_started_total", LABELS);
    /// RPCs completed by the client, regardless of success or failure.
    CLIENT_HANDLED: Counters<4> = counters_of_any("grpc_client_handled_total", CODE_LABELS);
    /// RPC messages received by the client.
    CLIENT_RECEIVED: Counters<3> = counters_of_any("grpc_client_msg_received_total", LABELS);
    /// RPC messages sent by the client.
    CLIENT_SENT: Counters<3> = counters_of_any("grpc_client_msg_sent_total", LABELS);
    /// Time from the start of an RPC to its answer as the client saw it, in seconds.
    CLIENT_SECONDS: HistogramVec = latencies("grpc_client_handling_seconds", &LABELS);
}

/// The metrics of one end. Every RPC of the fleet is unary: one message each way, if it goes well.
pub(crate) struct End {
    started: &'static Counters<3>,
    handled: &'static Counters<4>,
    requests: &'static Counters<3>,
    answers: &'static Counters<3>,
    seconds: &'static HistogramVec,
}

/// Calls that this process answers.
pub(crate) fn server() -> End {
    End {
        started: &SERVER_STARTED,
        handled: &SERVER_HANDLED,
        requests: &SERVER_RECEIVED,
        answers: &SERVER_SENT,
        seconds: &SERVER_SECONDS,
    }
}

/// Calls that this process makes.
pub(crate) fn client() -> End {
    End {
        started: &CLIENT_STARTED,
        handled: &CLIENT_HANDLED,
        requests: &CLIENT_SENT,
        answers: &CLIENT_RECEIVED,
        seconds: &CLIENT_SECONDS,
    }
}

impl End {
    /// Shows a method at zero, with every code.
    pub fn declare(&self, method: &Method) {
        let labels = labels(method);
        for counters in [self.started, self.requests, self.answers] {
            counters.with(labels);
        }
        self.seconds.with_label_values(&labels);
        for code in (0..=16).map(Code::from_i32) {
            self.handled.with(with_code(method, code));
        }
    }

    /// A call began.
    pub fn started(&self, method: &Method) {
        self.started.with(labels(method)).inc();
        self.requests.with(labels(method)).inc();
    }

    /// A call is over.
    pub fn handled(&self, method: &Method, code: Code, took: Duration) {
        self.handled.with(with_code(method, code)).inc();
        self.seconds.with_label_values(&labels(method)).observe(took.as_secs_f64());
        if code == Code::Ok {
            self.answers.with(labels(method)).inc();
        }
    }
}

fn labels(method: &Method) -> [&str; 3] {
    ["unary", &method.service, &method.name]
}

fn with_code(method: &Method, code: Code) -> [&str; 4] {
    ["unary", &method.service, &method.name, code_name(code)]
}
