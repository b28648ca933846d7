//! A stand-in for an OpenTelemetry collector such as Jaeger. It receives spans by OTLP/gRPC and keeps them for tests.
//! It can stall, and it can go away and come back on the same port.

use std::{
    collections::BTreeMap,
    future, io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context as _;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use serde_json::Value;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Request, Response, Status,
    metadata::MetadataMap,
    transport::{Identity, ServerTlsConfig},
};

use crate::{
    certs::Issued,
    standin::{Server, start_again},
};

mod span;

pub use opentelemetry_proto::tonic::trace::v1::{span::SpanKind, status::StatusCode};
pub use span::{Link, Span};

/// A running collector. Dropping it cuts every connection.
#[derive(Debug)]
pub struct Collector {
    // None while the collector is away.
    server: Option<Server>,
    address: SocketAddr,
    tls: Option<ServerTlsConfig>,
    received: Arc<Received>,
}

#[derive(Debug, Default)]
struct Received {
    spans: Mutex<Vec<Span>>,
    calls: Mutex<Vec<MetadataMap>>,
    stalls: AtomicBool,
}

impl Collector {
    /// Port 0 means any free port.
    pub fn start(listen: SocketAddr) -> anyhow::Result<Self> {
        Self::listen(listen, None)
    }

    /// Like [`start`](Self::start), over TLS.
    pub fn start_with_tls(listen: SocketAddr, certificate: &Issued) -> anyhow::Result<Self> {
        let identity = Identity::from_pem(&certificate.certificate, &certificate.key);
        Self::listen(listen, Some(ServerTlsConfig::new().identity(identity)))
    }

    fn listen(listen: SocketAddr, tls: Option<ServerTlsConfig>) -> anyhow::Result<Self> {
        let received = Arc::<Received>::default();
        let server = serve(listen, tls.clone(), &received).context("the collector cannot start")?;
        Ok(Self { address: server.address(), server: Some(server), tls, received })
    }

    /// The address stays the same while the collector is away.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The OTLP endpoint. Over TLS, its host name is one that is in the certificate.
    pub fn url(&self) -> String {
        match self.tls {
            None => format!("http://{}", self.address),
            Some(_) => format!("https://localhost:{}", self.address.port()),
        }
    }

    /// All spans so far, in order of arrival.
    pub fn spans(&self) -> Vec<Span> {
        self.received.spans.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The spans of one trace, ordered by their start. The id is in hexadecimal digits.
    pub fn trace(&self, trace_id: &str) -> Vec<Span> {
        let mut spans: Vec<_> = self.spans().into_iter().filter(|span| span.trace_id == trace_id).collect();
        spans.sort_by_key(|span| span.start);
        spans
    }

    /// The headers of all calls so far, answered or not.
    pub fn calls(&self) -> Vec<MetadataMap> {
        self.received.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on, calls are never answered, and their spans are lost.
    pub fn stall(&self) {
        self.received.stalls.store(true, Ordering::SeqCst);
    }

    /// Ends a stall: from now on, calls are answered.
    pub fn answer(&self) {
        self.received.stalls.store(false, Ordering::SeqCst);
    }

    /// Goes away as in a crash: the port is closed and connections are cut. Received spans are kept.
    pub fn go_away(&mut self) {
        self.server = None;
    }

    /// Listens on the same port again.
    pub async fn come_back(&mut self) -> io::Result<()> {
        self.server = None;
        self.server = Some(start_again(|| serve(self.address, self.tls.clone(), &self.received)).await?);
        Ok(())
    }
}

fn serve(listen: SocketAddr, tls: Option<ServerTlsConfig>, received: &Arc<Received>) -> io::Result<Server> {
    let service = TraceServiceServer::from_arc(Arc::clone(received));
    let mut builder = tonic::transport::Server::builder();
    if let Some(tls) = tls {
        builder = builder.tls_config(tls).map_err(io::Error::other)?;
    }
    Server::start(listen, move |listener| async move {
        let server = builder.add_service(service);
        if let Err(error) = server.serve_with_incoming(TcpListenerStream::new(listener)).await {
            tracing::error!(error = %error, "the collector ended");
        }
    })
}

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(request.metadata().clone());
        if self.stalls.load(Ordering::SeqCst) {
            future::pending::<()>().await;
        }
        let new = request.into_inner().resource_spans.into_iter().flat_map(|resource| {
            let attributes = resource.resource.map(|resource| span::attributes(resource.attributes));
            let attributes: BTreeMap<String, Value> = attributes.unwrap_or_default();
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.map(move |span| Span::new(span, attributes.clone())).collect::<Vec<_>>()
        });
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).extend(new);
        Ok(Response::new(ExportTraceServiceResponse { partial_success: None }))
    }
}
