//! The rows of the board: which metrics they come from, and what deserves a look.

use crate::{fleet::Service, scrape::Series};

const PENDING: &str = "purchases not finished";
const OVERDUE: &str = "orders overdue";
const OUTBOX: &str = "events in the outbox";
const OWED: &str = "dead letters not written yet";
const DUE: &str = "deliveries due";
const DEAD: &str = "deliveries given up";

/// What waits: its name, whose it is, the gauge that counts it, and the one that tells the age of the oldest.
pub(super) const WAITING: [(&str, Service, &str, Option<&str>); 8] = {
    use Service::{Checkout, Loms, Notifications};
    [
        (PENDING, Checkout, "checkout_purchases_pending", Some("checkout_purchases_oldest_pending_seconds")),
        ("orders that await payment", Loms, "loms_unpaid_orders", None),
        (OVERDUE, Loms, "loms_expiry_overdue_orders", Some("loms_expiry_oldest_overdue_seconds")),
        (OUTBOX, Loms, "loms_outbox_events", Some("loms_outbox_oldest_age_seconds")),
        ("events not read yet (lag)", Notifications, "notifications_consumer_lag_events", None),
        (OWED, Notifications, "notifications_dead_letters_owed", None),
        (DUE, Notifications, "notifications_deliveries_due", Some("notifications_deliveries_oldest_due_seconds")),
        (DEAD, Notifications, "notifications_deliveries_dead", None),
    ]
};

/// What deserves a look, as its alert says. Of deliveries given up the alert tells the new ones, and the board all.
pub(super) const NOTABLE: [(&str, Threshold, &str); 6] = [
    (PENDING, Threshold::Seconds(120), "PurchasesStuck"),
    (OVERDUE, Threshold::Seconds(30), "ExpiryLate"),
    (OUTBOX, Threshold::Seconds(60), "OutboxStuck"),
    (OWED, Threshold::Any, "DeadLettersOwed"),
    (DUE, Threshold::Seconds(300), "DeliveriesStuck"),
    (DEAD, Threshold::Any, "DeliveriesDead"),
];

pub(super) enum Threshold {
    /// There is any.
    Any,
    /// The oldest has waited for so long.
    Seconds(u64),
}

/// The limits: the name of each, the series that count how often it was met, and those that are no part of that.
pub(super) const LIMITS: [(&str, &[Series], &[Series]); 9] = [
    (
        "calls refused for load",
        &[Series("grpc_server_handled_total", Some(("grpc_code", "ResourceExhausted")))],
        &[Series("grpc_server_callers_faults_total", Some(("grpc_code", "ResourceExhausted")))],
    ),
    ("waits for a connection in vain", &[Series("postgres_pool_timeouts_total", None)], &[]),
    ("connections of callers refused", &[Series("server_connections_refused_total", Some(("port", "grpc")))], &[]),
    ("answers that nobody took", &[Series("grpc_server_untaken_answers_total", None)], &[]),
    ("steps of background work failed", &[Series("worker_steps_total", Some(("outcome", "failed")))], &[]),
    (
        "waits for a turn at ProductService",
        &[Series("checkout_product_limit_wait_seconds_count", None)],
        // A turn that is free is taken at once.
        &[Series("checkout_product_limit_wait_seconds_bucket", Some(("le", "0.0005")))],
    ),
    (
        "messages that Telegram put off",
        &[Series("notifications_deliveries_total", Some(("result", "rate_limited")))],
        &[],
    ),
    (
        "spans lost",
        &[
            Series("otlp_spans_total", Some(("result", "failed"))),
            Series("otlp_spans_total", Some(("result", "dropped"))),
        ],
        &[],
    ),
    ("log lines lost", &[Series("gelf_messages_total", Some(("result", "dropped")))], &[]),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn a_row_deserves_a_look_when_the_rule_of_its_alert_says_so() {
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deployments/config/prometheus/rules");
        let files = fs::read_dir(rules).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
        let rules = files.collect::<String>();
        // What is given up is told for as long as it is kept.
        for (what, threshold, alert) in NOTABLE.iter().filter(|(what, ..)| *what != DEAD) {
            let (.., count, oldest) = WAITING.iter().find(|(row, ..)| row == what).unwrap();
            let condition = match threshold {
                Threshold::Any => format!("({count}) > 0\n"),
                Threshold::Seconds(seconds) => format!("({}) > {seconds}\n", oldest.unwrap()),
            };
            let (_, rule) = rules.split_once(&format!("- alert: {alert}\n")).unwrap_or_else(|| panic!("no {alert}"));
            let rule = rule.split("- alert: ").next().unwrap();
            assert!(rule.contains(&condition), "{what}: {condition}{rule}");
        }
    }
}
