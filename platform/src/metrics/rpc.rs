//! RPCs at both ends. Names and labels are those of go-grpc-prometheus, which existing dashboards know.

use std::time::Duration;

use prometheus::HistogramVec;
use tonic::Code;

use super::Counters;
use crate::{
    grpc::{Method, Protocol, go_code_name},
    metrics,
};

const LABELS: [&str; 3] = ["grpc_type", "grpc_service", "grpc_method"];
const CODE_LABELS: [&str; 4] = ["grpc_type", "grpc_service", "grpc_method", "grpc_code"];
const PROTOCOL_LABELS: [&str; 4] = ["protocol", "grpc_service", "grpc_method", "grpc_code"];

metrics! {
    /// RPCs started on the server.
    SERVER_STARTED: Counters<3> = counters_of_any("grpc_server_started_total", LABELS);
    /// RPCs completed on the server, regardless of success or failure.
    SERVER_HANDLED: Counters<4> = counters_of_any("grpc_server_handled_total", CODE_LABELS);
    /// RPCs completed with a code that speaks of the server although the caller alone brought it about: the request could
    /// not be read or did not come in time, or its deadline was too short for any answer.
    SERVER_CALLERS_FAULTS: Counters<4> = counters_of_any("grpc_server_callers_faults_total", CODE_LABELS);
    /// RPCs completed on the server, by the protocol that they came with.
    SERVER_BY_PROTOCOL: Counters<4> = counters_of_any("grpc_server_handled_by_protocol_total", PROTOCOL_LABELS);
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

/// The metrics of one end. All RPCs of the fleet are unary: a successful call has one message each way.
pub(crate) struct RpcMetrics {
    started: &'static Counters<3>,
    handled: &'static Counters<4>,
    requests: &'static Counters<3>,
    responses: &'static Counters<3>,
    seconds: &'static HistogramVec,
}

pub(crate) fn server() -> RpcMetrics {
    RpcMetrics {
        started: &SERVER_STARTED,
        handled: &SERVER_HANDLED,
        requests: &SERVER_RECEIVED,
        responses: &SERVER_SENT,
        seconds: &SERVER_SECONDS,
    }
}

pub(crate) fn client() -> RpcMetrics {
    RpcMetrics {
        started: &CLIENT_STARTED,
        handled: &CLIENT_HANDLED,
        requests: &CLIENT_SENT,
        responses: &CLIENT_RECEIVED,
        seconds: &CLIENT_SECONDS,
    }
}

impl RpcMetrics {
    /// Shows a method at zero, with every code.
    pub fn declare(&self, method: &Method) {
        let labels = labels(method);
        for counters in [self.started, self.requests, self.responses] {
            counters.with(labels);
        }
        self.seconds.with_label_values(&labels);
        for code in (0..=16).map(Code::from_i32) {
            self.handled.with(labels_with_code(method, code));
        }
    }

    pub fn started(&self, method: &Method) {
        self.started.with(labels(method)).inc();
        self.requests.with(labels(method)).inc();
    }

    pub fn handled(&self, method: &Method, code: Code, duration: Duration) {
        self.handled.with(labels_with_code(method, code)).inc();
        self.seconds.with_label_values(&labels(method)).observe(duration.as_secs_f64());
        if code == Code::Ok {
            self.responses.with(labels(method)).inc();
        }
    }
}

/// Counts a call that is counted as handled with this code, too.
pub(crate) fn count_callers_fault(method: &Method, code: Code) {
    SERVER_CALLERS_FAULTS.with(labels_with_code(method, code)).inc();
}

pub(crate) fn declare_callers_faults(method: &Method, codes: impl Iterator<Item = Code>) {
    SERVER_CALLERS_FAULTS.declare(codes.map(|code| labels_with_code(method, code)));
}

pub(crate) fn count_protocol(protocol: Protocol, method: &Method, code: Code) {
    SERVER_BY_PROTOCOL.with(labels_with_protocol(protocol, method, code)).inc();
}

pub(crate) fn declare_protocols(method: &Method) {
    for protocol in Protocol::ALL {
        for code in (0..=16).map(Code::from_i32) {
            SERVER_BY_PROTOCOL.with(labels_with_protocol(protocol, method, code));
        }
    }
}

fn labels_with_protocol(protocol: Protocol, method: &Method, code: Code) -> [&str; 4] {
    [protocol.name(), &method.service, &method.name, go_code_name(code)]
}

fn labels(method: &Method) -> [&str; 3] {
    ["unary", &method.service, &method.name]
}

fn labels_with_code(method: &Method, code: Code) -> [&str; 4] {
    ["unary", &method.service, &method.name, go_code_name(code)]
}
