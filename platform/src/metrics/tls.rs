//! The certificates that the process uses.

use prometheus::IntGaugeVec;

use crate::metrics;

metrics! {
    /// When a certificate in use ends, in seconds since 1970, by the key of the configuration that names its file. Of several
    /// certificates in a file, the first to end.
    pub(crate) CERTIFICATE_ENDS: IntGaugeVec =
        gauges("tls_certificate_end_timestamp_seconds", &["certificate"]);
}
