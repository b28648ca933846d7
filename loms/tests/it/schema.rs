//! What the database itself forbids, and its migrations.

use std::path::Path;

use loms::app::Loms;
use platform::{postgres::PLANNING, service::Service as _};
use stack::testing::TestDatabase;

use crate::{
    config::run,
    world::{World, create, lock, order, user},
};

/// The name of the constraint that a statement breaks.
async fn broken(world: &World, statement: &str) -> String {
    let error = world.execute(statement).await.expect_err(statement);
    error.as_database_error().and_then(|error| error.constraint()).expect("a constraint is broken").to_owned()
}

#[tokio::test]
async fn no_statement_can_oversell() {
    let world = World::with_stock(&[(1, 7, 10)]).await;
    let loms = world.loms().await;
    create(&loms.client(), order(user(), &[(7, 4)])).await.unwrap();

    for oversold in [
        "UPDATE stock SET reserved = 11",
        "UPDATE stock SET on_hand = 3",
        "UPDATE stock SET reserved = -1",
        "INSERT INTO stock VALUES (1, 8, 0, 1)",
    ] {
        assert_eq!(broken(&world, oversold).await, "stock_never_oversold", "{oversold}");
    }
    assert_eq!(broken(&world, "UPDATE stock SET on_hand = 1000000001").await, "stock_on_hand_is_bounded");
    assert_eq!(broken(&world, "DELETE FROM stock").await, "reservation_stock");
    assert_eq!(broken(&world, "UPDATE reservation SET count = 0").await, "reservation_count_is_positive");
    assert_eq!(broken(&world, "UPDATE reservation SET warehouse_id = 2").await, "reservation_stock");
    assert_eq!(broken(&world, "UPDATE reservation SET sku = 8").await, "reservation_item");
    assert_eq!(world.stock_of(7).await, (10, 4));
}

#[tokio::test]
async fn no_statement_can_write_an_order_that_cannot_be() {
    let world = World::with_stock(&[(1, 7, 10)]).await;
    let loms = world.loms().await;
    create(&loms.client(), order(user(), &[(7, 4)])).await.unwrap();

    for (statement, constraint) in [
        ("UPDATE orders SET status = 'payed'", "orders_status_is_known"),
        ("UPDATE orders SET status = 'failed'", "orders_refusal_exactly_when_failed"),
        ("UPDATE orders SET failed_sku = 7", "orders_refusal_exactly_when_failed"),
        (
            "UPDATE orders SET status = 'failed', failed_sku = 7, failed_requested = 4, failed_available = 4",
            "orders_refusal_is_a_shortage",
        ),
        ("UPDATE orders SET pay_before = created_at", "orders_deadline_follows_creation"),
        ("UPDATE orders SET user_id = 0", "orders_user_is_positive"),
        ("UPDATE orders SET idempotency_key = ''", "orders_idempotency_key_length"),
        ("UPDATE order_item SET count = 65536", "order_item_count_is_valid"),
        ("INSERT INTO order_item VALUES (1, 0, 1)", "order_item_sku_is_valid"),
        ("INSERT INTO order_item VALUES (1, 7, 1)", "order_item_pkey"),
        ("INSERT INTO order_item VALUES (9, 7, 1)", "order_item_order"),
        (
            "INSERT INTO outbox (order_id, user_id, status, message, occurred_at) VALUES (9, 1, 'new', '', now())",
            "outbox_order",
        ),
    ] {
        assert_eq!(broken(&world, statement).await, constraint, "{statement}");
    }
}

/// The objects that migrations made.
async fn objects(database: &TestDatabase) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT relkind::text || ' ' || relname FROM pg_class \
         WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE '\\_sqlx%' ORDER BY 1",
    )
    .fetch_all(&database.pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn migrations_go_up_down_and_up_again() {
    let database = TestDatabase::create_empty().await;
    let migrations = Loms::migrations();
    migrations.run(&database.pool).await.unwrap();
    let up = objects(&database).await;
    assert!(up.contains(&"r orders".to_owned()), "{up:?}");
    migrations.undo(&database.pool, 0).await.unwrap();
    assert_eq!(objects(&database).await, [""; 0]);
    migrations.run(&database.pool).await.unwrap();
    assert_eq!(objects(&database).await, up);
}

#[tokio::test]
async fn those_who_migrate_at_once_take_turns() {
    let world = World { database: TestDatabase::create_empty().await };
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config.yaml");
    std::fs::write(&config, world.config_file("10m", &stack::testing::brokers())).unwrap();
    let migrating = (0..4).map(|_| run(&["migrate"], Some(&config)));
    let mut said = Vec::new();
    for output in futures::future::join_all(migrating).await {
        assert!(output.status.success(), "{output:?}");
        said.push(String::from_utf8(output.stdout).unwrap());
    }
    said.sort();
    assert!(said[0].starts_with("loms: applied 20261122000001\n"), "{said:?}");
    assert!(said[1..].iter().all(|said| said == "loms: the database is up to date\n"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_taken_while_their_index_is_built() {
    let world = World::with_stock(&[(1, 7, 10)]).await;
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config.yaml");
    std::fs::write(&config, world.config_file("10m", &stack::testing::brokers())).unwrap();
    let loms = world.loms().await;
    let first = create(&loms.client(), order(user(), &[(7, 1)])).await.unwrap();
    Loms::migrations().undo(&world.database.pool, 20_261_122_000_004).await.unwrap();

    // Who builds the index waits for the end of what changes orders.
    let mut changing = world.database.pool.begin().await.unwrap();
    lock(&mut changing, &format!("UPDATE orders SET traceparent = NULL WHERE id = {first}")).await;
    let migrating = tokio::spawn(async move { run(&["migrate"], Some(&config)).await });
    world.until_blocked(1).await;
    create(&loms.client(), order(user(), &[(7, 1)])).await.unwrap();
    changing.commit().await.unwrap();
    let migrated = migrating.await.unwrap();
    assert_eq!(String::from_utf8(migrated.stdout).unwrap(), "loms: applied 20261130000001\n");
}

#[tokio::test]
async fn every_table_and_column_is_explained() {
    let world = World::with_stock(&[]).await;
    let unexplained: Vec<String> = sqlx::query_scalar(
        "SELECT relname || '.' || coalesce(attname, '') FROM pg_class \
         LEFT JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped \
         WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname NOT LIKE '\\_sqlx%' \
         AND (obj_description(pg_class.oid) IS NULL OR col_description(attrelid, attnum) IS NULL)",
    )
    .fetch_all(&world.database.pool)
    .await
    .unwrap();
    assert_eq!(unexplained, [""; 0]);
}

#[tokio::test]
async fn no_statement_reads_a_whole_table() {
    let database = TestDatabase::create(Loms::migrations()).await;
    let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join(".sqlx");
    // An operator asks for all stock.
    database.assert_bounded(&queries, &PLANNING, &["all_stock"]).await;
}

#[tokio::test]
async fn a_page_of_orders_and_a_look_for_a_key_cost_as_much_whatever_the_past_and_the_statistics() {
    let world = World::with_stock(&[]).await;
    let user = user();
    let write = async |user: &str, count: usize| {
        let written = format!(
            "WITH written AS (INSERT INTO orders (user_id, status, idempotency_key, created_at, pay_before) \
                 SELECT {user}, 'paid', gen_random_uuid(), now() - number * interval '1 second', now() + interval '1 s' \
                 FROM generate_series(1, {count}) AS number RETURNING id) \
             INSERT INTO order_item SELECT id, 7, 1 FROM written"
        );
        world.execute(&written).await.unwrap();
    };
    let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join(".sqlx");
    let assert_cheap = async |past: &str| {
        let read = async |statement, arguments: String| {
            let indexes = world.database.indexes_read(&queries, &PLANNING, statement, &arguments).await;
            indexes.into_iter().map(|(index, rows)| format!("{index} {rows}")).collect::<Vec<_>>().join(", ")
        };
        for after in ["NULL, NULL", "now() + interval '1 hour', 1"] {
            let page = read("list_orders", format!("{user}, {after}, 2")).await;
            assert_eq!(page, "orders_of_user 3, order_item_pkey 3, order_item_pkey 3", "{past}");
        }
        let find = read("find_orders", format!("ARRAY[{user}], ARRAY['unknown'], 600")).await;
        assert_eq!(find, "orders_idempotency_key 0, order_item_pkey 0, order_item_pkey 0", "{past}");
    };
    write(&user.to_string(), 3).await;
    assert_cheap("a new shop").await;
    write(&format!("{user} + number"), 5000).await;
    world.execute("DELETE FROM order_item").await.unwrap();
    world.execute(&format!("DELETE FROM orders WHERE user_id = {user}")).await.unwrap();
    world.execute("ANALYZE orders").await.unwrap();
    write(&user.to_string(), 3000).await;
    assert_cheap("statistics of one order of each user").await;
    world.execute("ANALYZE orders").await.unwrap();
    assert_cheap("statistics of a user with many orders").await;
}
