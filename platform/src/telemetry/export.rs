//! Sends spans to an OTLP collector, in batches and in the background. A collector that is down or slow loses spans,
//! but delays nothing. The log has one line about it.

use std::{
    fmt::Debug,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{RetryPolicy, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{
        BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, Span, SpanData, SpanExporter, SpanProcessor,
    },
};
use tonic::metadata::MetadataMap;
use tracing::{info, warn};

use super::steps::IdleStepFilter;
use crate::{
    config::service::JaegerConfig, failure::chain, grpc::transport::transport, metrics::telemetry::SPANS,
    tls::ClientTls,
};

const MAX_QUEUED_SPANS: usize = 4096;
const MAX_BATCH_SPANS: usize = 512;
const BATCH_DELAY: Duration = Duration::from_secs(1);
const EXPORT_TIMEOUT: Duration = Duration::from_secs(3);
/// Only while the collector owes an answer. A connection on which nothing passes any more is left.
const PING_INTERVAL: Duration = Duration::from_secs(1);

/// Without `jaeger`, spans have ids but stay in the process.
pub(super) fn provider(service: &'static str, jaeger: Option<&JaegerConfig>) -> anyhow::Result<SdkTracerProvider> {
    let resource = Resource::builder()
        .with_service_name(service)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let builder = SdkTracerProvider::builder().with_resource(resource);
    let Some(jaeger) = jaeger else { return Ok(builder.build()) };
    let tls = jaeger.endpoint.is_tls().then(|| ClientTls::of_collector(jaeger.ca.as_ref()));
    let tls = tls.transpose().context("jaeger.endpoint asks for TLS")?;
    let collector = transport(&jaeger.endpoint, tls.as_ref(), |endpoint| {
        endpoint
            .connect_timeout(EXPORT_TIMEOUT)
            .timeout(EXPORT_TIMEOUT)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_INTERVAL)
    })?;
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_channel(collector)
        .with_metadata(MetadataMap::from_headers(jaeger.headers.iter().cloned().collect()))
        .with_timeout(EXPORT_TIMEOUT)
        .with_retry_policy(RetryPolicy::disabled())
        .build()
        .context("jaeger.endpoint cannot be used")?;
    let queued = Arc::new(AtomicUsize::new(0));
    let batch = BatchConfigBuilder::default()
        // `BoundedProcessor` has a smaller limit: the batch processor drops spans without counting them.
        .with_max_queue_size(2 * MAX_QUEUED_SPANS)
        .with_max_export_batch_size(MAX_BATCH_SPANS)
        .with_scheduled_delay(BATCH_DELAY)
        .build();
    let exporter = CountingExporter { exporter, queued: Arc::clone(&queued), lost: AtomicU64::new(0) };
    let batches = BatchSpanProcessor::builder(exporter).with_batch_config(batch).build();
    Ok(builder
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(jaeger.sampling_ratio))))
        .with_span_processor(IdleStepFilter::new(BoundedProcessor { batches, queued }))
        .build())
}

/// Drops and counts spans above [`MAX_QUEUED_SPANS`].
#[derive(Debug)]
struct BoundedProcessor {
    batches: BatchSpanProcessor,
    /// Includes spans that are being exported.
    queued: Arc<AtomicUsize>,
}

impl SpanProcessor for BoundedProcessor {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.queued.fetch_add(1, Ordering::Relaxed) < MAX_QUEUED_SPANS {
            self.batches.on_end(span);
        } else {
            self.queued.fetch_sub(1, Ordering::Relaxed);
            SPANS.with(["dropped"]).inc();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.batches.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.batches.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.batches.set_resource(resource);
    }
}

/// Counts spans, and logs once when the collector fails and once when it works again.
#[derive(Debug)]
struct CountingExporter<E> {
    exporter: E,
    queued: Arc<AtomicUsize>,
    /// Spans that failed since the last success.
    lost: AtomicU64,
}

impl<E: SpanExporter> SpanExporter for CountingExporter<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.exporter.export(batch).await;
        self.queued.fetch_sub(spans, Ordering::Relaxed);
        let spans = spans as u64;
        match result {
            Ok(()) => {
                SPANS.with(["exported"]).inc_by(spans);
                let lost = self.lost.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    info!(lost, "the collector (jaeger.endpoint) takes spans again");
                }
            }
            Err(error) => {
                SPANS.with(["failed"]).inc_by(spans);
                if self.lost.fetch_add(spans, Ordering::Relaxed) == 0 {
                    let error = chain(&error);
                    warn!(error, "the collector (jaeger.endpoint) does not take spans; they are lost until it does");
                }
            }
        }
        // The batch processor would log every error.
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
