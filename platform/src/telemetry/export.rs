//! Where spans go: to an OTLP collector, in batches and in the background. A collector that is away or slow costs its
//! spans and nothing else, and is told of in one line.

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
use tonic::transport::Endpoint;
use tracing::{info, warn};

use super::steps::Steps;
use crate::{config::service::JaegerConfig, failure::chain, metrics::telemetry::SPANS};

/// How many spans may wait for the collector; one more is dropped.
const QUEUE: usize = 4096;
/// How many are sent at once.
const BATCH: usize = 512;
/// How long spans wait for others to be sent with.
const DELAY: Duration = Duration::from_secs(1);
/// How long the collector may take for a batch.
const TIMEOUT: Duration = Duration::from_secs(3);

/// The tracer provider of a service; without `jaeger` its spans have ids and stay in the process.
pub(super) fn provider(service: &'static str, jaeger: Option<&JaegerConfig>) -> anyhow::Result<SdkTracerProvider> {
    let resource = Resource::builder()
        .with_service_name(service)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let builder = SdkTracerProvider::builder().with_resource(resource);
    let Some(jaeger) = jaeger else { return Ok(builder.build()) };
    let collector = Endpoint::from(jaeger.endpoint.uri().clone()).connect_timeout(TIMEOUT).timeout(TIMEOUT);
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_channel(collector.connect_lazy())
        .with_timeout(TIMEOUT)
        .with_retry_policy(RetryPolicy::disabled())
        .build()
        .context("jaeger.endpoint cannot be used")?;
    let waiting = Arc::new(AtomicUsize::new(0));
    let batch = BatchConfigBuilder::default()
        // Never reached: `Bounded` counts what waits, and what is in flight.
        .with_max_queue_size(2 * QUEUE)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(DELAY)
        .build();
    let collector = Collector { exporter, waiting: Arc::clone(&waiting), lost: AtomicU64::new(0) };
    let batches = BatchSpanProcessor::builder(collector).with_batch_config(batch).build();
    Ok(builder
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(jaeger.sampling_ratio))))
        .with_span_processor(Steps::new(Bounded { batches, waiting }))
        .build())
}

/// Drops spans above [`QUEUE`], and counts them.
#[derive(Debug)]
struct Bounded {
    batches: BatchSpanProcessor,
    waiting: Arc<AtomicUsize>,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.batches.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) < QUEUE {
            self.batches.on_end(span);
        } else {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
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

/// Says once that the collector does not take spans, and once that it does again.
#[derive(Debug)]
struct Collector<E> {
    exporter: E,
    waiting: Arc<AtomicUsize>,
    /// Spans that it did not take since it last took some.
    lost: AtomicU64,
}

impl<E: SpanExporter> SpanExporter for Collector<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.exporter.export(batch).await;
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
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
        // The batch processor would say it again and again.
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
