//! Whether what a fleet has behind it makes it slower.

use std::fmt::Write as _;

use anyhow::Context as _;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection, postgres::PgConnectOptions,
};

use super::{Bench, Course, loads::Load, usage::millis};
use crate::{
    Say,
    load::{Line, Report, Scenario},
};

/// What can be served in any case, so that nothing waits for itself.
const PER_SECOND: f64 = 100.0;
const LOAD: Load = Load { scenario: Scenario::Mixed, ..Load::journeys("mixed", PER_SECOND) };

/// Users of the past, whom nobody meets: those of a load are numbered by the clock.
const FIRST_USER: u64 = 9_000_000_000_000_000_000;
/// Users buy again and again.
const ORDERS_OF_A_USER: u64 = 10;

/// Measures a fleet, gives it a past of so many orders, with the messages of each, and a tenth as many purchases, and
/// measures it again. Returns a table.
pub async fn past(orders: u64, course: Course, say: Say<'_>) -> anyhow::Result<String> {
    let mut bench = Bench::start(course, say).await?;
    let measured = bench.measure_past(orders, say).await;
    bench.fleet.stop().await;
    measured
}

impl Bench {
    async fn measure_past(&mut self, orders: u64, say: Say<'_>) -> anyhow::Result<String> {
        say("warming up");
        self.shop(LOAD, self.course.warm_up).await?;
        let before = self.measure(LOAD, say).await?.report;
        say(&format!("writing {orders} orders of the past"));
        let addresses = self.fleet.addresses();
        fill(&addresses.loms.database, &of_loms(orders)).await.context("the past of loms")?;
        fill(&addresses.notifications.database, &of_notifications(orders))
            .await
            .context("the past of notifications")?;
        fill(&addresses.checkout.database, &of_checkout(orders / 10)).await.context("the past of checkout")?;
        // What was written just now is still on its way to the disk.
        let mut connection = PgConnection::connect(&self.fleet.superusers_database()).await?;
        connection.execute("CHECKPOINT").await?;
        connection.close().await?;
        self.shop(LOAD, self.course.warm_up).await?;
        let after = self.measure(LOAD, say).await?.report;
        Ok(table(&before, &after, orders)?)
    }
}

async fn fill(database: &str, statements: &[String]) -> anyhow::Result<()> {
    let options: PgConnectOptions = database.parse()?;
    // They are slow, and nobody need be told.
    let mut connection = options.disable_statement_logging().connect().await?;
    for statement in statements {
        connection.execute(AssertSqlSafe(statement.as_str())).await?;
    }
    Ok(connection.close().await?)
}

/// References are not checked row by row while the past is written; for what is written later they hold.
fn without_reference(table: &str, name: &str, definition: &str, statement: String) -> [String; 3] {
    [
        format!("ALTER TABLE {table} DROP CONSTRAINT {name}"),
        statement,
        format!("ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY {definition} NOT VALID"),
    ]
}

fn of_loms(orders: u64) -> Vec<String> {
    let items = format!(
        "INSERT INTO order_item (order_id, sku, count)
         SELECT id, 1 + (id + line) % 1000, 1 FROM orders, generate_series(1, 2) AS line WHERE user_id >= {FIRST_USER}"
    );
    let mut statements = vec![format!(
        "INSERT INTO orders (user_id, status, created_at, pay_before)
         SELECT {FIRST_USER} + number / {ORDERS_OF_A_USER}, 'paid', now() - interval '1 day', now() - interval '23 hours'
         FROM generate_series(1, {orders}) AS number"
    )];
    // The reservations of today need the lines of their orders, so their reference to lines must go first.
    statements.push("ALTER TABLE reservation DROP CONSTRAINT reservation_item".to_owned());
    statements.extend(without_reference("order_item", "order_item_order", "(order_id) REFERENCES orders (id)", items));
    statements.push(
        "ALTER TABLE reservation ADD CONSTRAINT reservation_item FOREIGN KEY (order_id, sku) \
         REFERENCES order_item (order_id, sku) NOT VALID"
            .to_owned(),
    );
    statements.extend(["VACUUM ANALYZE orders", "VACUUM ANALYZE order_item"].map(str::to_owned));
    statements
}

fn of_notifications(orders: u64) -> Vec<String> {
    let deliveries = format!(
        "INSERT INTO delivery (message_id, order_id, state, attempts, settled_at)
         SELECT id, order_id, 'sent', 1, now() FROM message WHERE user_id >= {FIRST_USER}"
    );
    let mut statements = vec![format!(
        "INSERT INTO message (event_id, user_id, order_id, status, text, occurred_at)
         SELECT gen_random_uuid()::text, {FIRST_USER} + number / {ORDERS_OF_A_USER}, {FIRST_USER} + number, status,
                'Order ' || number || ' is ' || status || '.', now() - interval '1 day'
         FROM generate_series(1, {orders}) AS number, unnest('{{new,awaiting payment,paid}}'::text[]) AS status"
    )];
    let definition = "(message_id) REFERENCES message (id) ON DELETE CASCADE";
    statements.extend(without_reference("delivery", "delivery_message_id_fkey", definition, deliveries));
    statements.extend(["VACUUM ANALYZE message", "VACUUM ANALYZE delivery"].map(str::to_owned));
    statements
}

fn of_checkout(purchases: u64) -> Vec<String> {
    let items = format!(
        "INSERT INTO purchase_item (purchase_id, sku, count)
         SELECT id, line, 1 FROM purchase, generate_series(1, 2) AS line WHERE user_id >= {FIRST_USER}"
    );
    let mut statements = vec![format!(
        "INSERT INTO purchase (id, user_id, idempotency_key, state, order_id, created_at, settled_at)
         SELECT gen_random_uuid(), {FIRST_USER} + number / {ORDERS_OF_A_USER}, number::text, 'ordered', {FIRST_USER} + number,
                now() - interval '1 day', now() - interval '1 day'
         FROM generate_series(1, {purchases}) AS number"
    )];
    let definition = "(purchase_id) REFERENCES purchase (id) ON DELETE CASCADE";
    statements.extend(without_reference("purchase_item", "purchase_item_purchase_id_fkey", definition, items));
    statements.extend(["VACUUM ANALYZE purchase", "VACUUM ANALYZE purchase_item"].map(str::to_owned));
    statements
}

fn table(before: &Report, after: &Report, orders: u64) -> Result<String, std::fmt::Error> {
    let mut page = String::new();
    writeln!(
        page,
        "| {PER_SECOND} a second | p50 ms, empty | {orders} orders | ratio | p99 ms, empty | {orders} orders | ratio |"
    )?;
    writeln!(page, "|---|---|---|---|---|---|---|")?;
    for line in &before.lines {
        let Some(later) = after.lines.iter().find(|later| later.name == line.name) else { continue };
        let cells = [|line: &Line| line.p50, |line: &Line| line.p99].map(|value| {
            let (first, then) = (millis(value(line)), millis(value(later)));
            format!("{first:.1} | {then:.1} | {:.2}", then / first)
        });
        writeln!(page, "| {} | {} |", line.name, cells.join(" | "))?;
    }
    Ok(page)
}
