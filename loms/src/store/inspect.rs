//! What operators ask for. Each statement sees one moment.

use platform::{
    failure::Failure,
    postgres::{MAX_COUNTED, read},
};
use proto::{event::Event, ids::OrderId};
use sqlx::PgExecutor;

use super::{orders, outbox::RELAY_LOCK};
use crate::domain::{
    inspected::{InspectedOrder, InspectedOutbox, RelayHolder, WaitingOrder},
    order::OrderDetails,
    plan::Reservation,
    unsent::Unsent,
};

/// An order with its lines, its reservations and its events in the outbox.
pub async fn order(on: impl PgExecutor<'_>, order: OrderId) -> Result<Option<InspectedOrder>, Failure> {
    let row = sqlx::query!(
        r#"
        /* inspect_order */
        SELECT id, user_id, status, created_at, pay_before, failed_sku, failed_requested, failed_available,
               ARRAY(SELECT sku FROM order_item WHERE order_id = $1 ORDER BY sku) AS "skus!",
               ARRAY(SELECT count FROM order_item WHERE order_id = $1 ORDER BY sku) AS "counts!",
               ARRAY(SELECT sku FROM reservation WHERE order_id = $1 ORDER BY sku, warehouse_id) AS "reserved_skus!",
               ARRAY(SELECT warehouse_id FROM reservation WHERE order_id = $1 ORDER BY sku, warehouse_id) AS "warehouses!",
               ARRAY(SELECT count FROM reservation WHERE order_id = $1 ORDER BY sku, warehouse_id) AS "reserved!",
               ARRAY(SELECT id FROM outbox WHERE order_id = $1 ORDER BY id) AS "event_places!",
               ARRAY(SELECT event_id::text FROM outbox WHERE order_id = $1 ORDER BY id) AS "event_ids!",
               ARRAY(SELECT status FROM outbox WHERE order_id = $1 ORDER BY id) AS "event_statuses!",
               ARRAY(SELECT message FROM outbox WHERE order_id = $1 ORDER BY id) AS "event_texts!",
               ARRAY(SELECT occurred_at FROM outbox WHERE order_id = $1 ORDER BY id) AS "event_times!",
               ARRAY(SELECT coalesce(traceparent, '') FROM outbox WHERE order_id = $1 ORDER BY id) AS "traceparents!",
               clock_timestamp() AS "now!"
        FROM orders
        WHERE id = $1
        "#,
        order.get(),
    )
    .fetch_optional(on)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let user = read(row.user_id)?;
    let failed = (row.failed_sku, row.failed_requested, row.failed_available);
    let found = orders::order(row.id, &row.status, (row.created_at, row.pay_before), failed)?;
    let details = OrderDetails { order: found, user, lines: orders::lines(&row.skus, &row.counts)? };
    let reserved = std::iter::zip(row.reserved_skus, std::iter::zip(row.warehouses, row.reserved));
    let reservations = reserved.map(|(sku, (warehouse, count))| {
        Ok(Reservation { warehouse: read(warehouse)?, sku: read(sku)?, count: read(count)? })
    });
    let events = std::iter::zip(row.event_places, std::iter::zip(row.event_ids, row.event_statuses));
    let texts = std::iter::zip(row.event_texts, std::iter::zip(row.event_times, row.traceparents));
    let unsent = events.zip(texts).map(|((place, (id, status)), (text, (occurred_at, traceparent)))| {
        let traceparent = Some(traceparent).filter(|traceparent| !traceparent.is_empty());
        Unsent { id: place, event: Event { id, order, user, status, text, occurred_at }, traceparent }
    });
    Ok(Some(InspectedOrder {
        details,
        reservations: reservations.collect::<Result<_, Failure>>()?,
        unsent: unsent.collect(),
        now: row.now,
    }))
}

/// What waits to be published, up to [`MAX_COUNTED`] events, and at most `limit` orders that wait longest; not who
/// publishes it.
pub async fn outbox(on: impl PgExecutor<'_>, limit: u32) -> Result<InspectedOutbox, Failure> {
    let rows = sqlx::query!(
        r#"
        /* inspect_outbox */
        SELECT clock_timestamp() AS "now!", all_events AS "all_events?", all_orders AS "all_orders?",
               oldest AS "oldest?", order_id AS "order_id?", events AS "events?", status AS "status?", since AS "since?"
        FROM (SELECT 1) AS moment
        LEFT JOIN (
            SELECT order_id, count(*) AS events, (array_agg(status ORDER BY id))[1] AS status,
                   (array_agg(occurred_at ORDER BY id))[1] AS since, min(id) AS place,
                   (sum(count(*)) OVER ())::bigint AS all_events, count(*) OVER () AS all_orders,
                   min(min(occurred_at)) OVER () AS oldest
            FROM (SELECT id, order_id, status, occurred_at FROM outbox ORDER BY id LIMIT $1) AS waiting
            GROUP BY order_id
            ORDER BY min(id)
            LIMIT $2
        ) AS by_order ON true
        ORDER BY place
        "#,
        MAX_COUNTED,
        i64::from(limit),
    )
    .fetch_all(on)
    .await?;
    let first = rows.first().ok_or_else(|| Failure::unforeseen("a statement has its moment"))?;
    let (events, orders) = (first.all_events.unwrap_or_default(), first.all_orders.unwrap_or_default());
    let (oldest, now) = (first.oldest, first.now);
    let longest = rows.into_iter().filter_map(|row| Some((row.order_id?, row.events?, row.status?, row.since?)));
    let longest = longest.map(|(order, events, status, since)| {
        let status = status.parse().map_err(Failure::unforeseen)?;
        Ok(WaitingOrder { order: read(order)?, events, status, since })
    });
    Ok(InspectedOutbox { events, orders, oldest, longest: longest.collect::<Result<_, Failure>>()?, relay: None, now })
}

/// Who holds the lock that one relay holds while it publishes.
pub async fn relay(on: impl PgExecutor<'_>) -> Result<Option<RelayHolder>, Failure> {
    let holder = sqlx::query!(
        r#"
        /* relay_holder */
        SELECT locks.pid AS "pid!", application_name AS "application?", host(client_addr) AS "address?",
               xact_start AS "since?"
        FROM pg_lock_status() AS locks
        LEFT JOIN LATERAL pg_stat_get_activity(locks.pid) ON true
        WHERE locktype = 'advisory' AND granted AND classid::bigint = 0 AND objid::bigint = $1 AND objsubid = 1
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        LIMIT 1
        "#,
        RELAY_LOCK,
    )
    .fetch_optional(on)
    .await?;
    Ok(holder.map(|row| RelayHolder {
        pid: row.pid,
        application: row.application.filter(|name| !name.is_empty()),
        address: row.address,
        since: row.since,
    }))
}
