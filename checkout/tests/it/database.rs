//! The schema: what it refuses, whoever writes, and that its migrations go up and down.

use std::path::Path;

use platform::{postgres::PLANNING, service::Service as _};
use sqlx::PgPool;
use stack::testing::TestDatabase;

async fn violated(pool: &PgPool, statement: &'static str) -> String {
    let error = sqlx::query(statement).execute(pool).await.expect_err(statement);
    let error = error.as_database_error().expect(statement);
    error.constraint().unwrap_or_else(|| panic!("{statement}: {error}")).to_owned()
}

#[tokio::test]
async fn rows_that_no_rule_allows_are_refused_by_the_constraint_that_says_so() {
    let pool = TestDatabase::create(checkout::app::Checkout::migrations()).await.pool;
    let statement = "INSERT INTO purchase (id, user_id, idempotency_key, resume_at)
                     VALUES ('00000000-0000-0000-0000-000000000001', 1, 'key', now())";
    sqlx::query(statement).execute(&pool).await.unwrap();
    sqlx::query("INSERT INTO cart_item VALUES (1, 1, 1)").execute(&pool).await.unwrap();
    for (statement, constraint) in [
        ("INSERT INTO cart_item VALUES (0, 1, 1)", "cart_item_user_id_positive"),
        ("INSERT INTO cart_item VALUES (1, 0, 1)", "cart_item_sku_in_range"),
        ("INSERT INTO cart_item VALUES (1, 4294967296, 1)", "cart_item_sku_in_range"),
        ("INSERT INTO cart_item VALUES (1, 2, 0)", "cart_item_count_in_range"),
        ("INSERT INTO cart_item VALUES (1, 2, 65536)", "cart_item_count_in_range"),
        ("INSERT INTO cart_item VALUES (1, 1, 2)", "cart_item_pkey"),
        (
            "INSERT INTO purchase (id, user_id, resume_at) VALUES (gen_random_uuid(), 1, now())",
            "purchase_one_pending_per_user",
        ),
        (
            "INSERT INTO purchase (id, user_id, idempotency_key, state, order_id, settled_at)
             VALUES (gen_random_uuid(), 1, 'key', 'ordered', 1, now())",
            "purchase_user_id_idempotency_key",
        ),
        (
            "INSERT INTO purchase (id, user_id, resume_at) VALUES (gen_random_uuid(), 0, now())",
            "purchase_user_id_positive",
        ),
        (
            "INSERT INTO purchase (id, user_id, idempotency_key, resume_at) VALUES (gen_random_uuid(), 2, '', now())",
            "purchase_idempotency_key_length",
        ),
        (
            "INSERT INTO purchase (id, user_id, idempotency_key, resume_at)
             VALUES (gen_random_uuid(), 2, repeat('k', 129), now())",
            "purchase_idempotency_key_length",
        ),
        ("UPDATE purchase SET attempts = -1", "purchase_attempts_not_negative"),
        (
            "UPDATE purchase SET state = 'ordered', settled_at = now(), resume_at = NULL",
            "purchase_outcome_matches_state",
        ),
        (
            "UPDATE purchase SET state = 'refused', settled_at = now(), resume_at = NULL",
            "purchase_outcome_matches_state",
        ),
        (
            "UPDATE purchase SET state = 'ordered', order_id = 1, refusal = '{}', settled_at = now(), resume_at = NULL",
            "purchase_outcome_matches_state",
        ),
        ("UPDATE purchase SET order_id = 1", "purchase_outcome_matches_state"),
        (
            "UPDATE purchase SET state = 'ordered', order_id = 0, settled_at = now(), resume_at = NULL",
            "purchase_order_id_positive",
        ),
        ("UPDATE purchase SET state = 'ordered', order_id = 1, resume_at = NULL", "purchase_settled_or_to_be_resumed"),
        (
            "UPDATE purchase SET state = 'ordered', order_id = 1, settled_at = now()",
            "purchase_settled_or_to_be_resumed",
        ),
        ("UPDATE purchase SET resume_at = NULL", "purchase_settled_or_to_be_resumed"),
        ("UPDATE purchase SET answered = true", "purchase_settled_or_to_be_resumed"),
        ("UPDATE purchase SET state = 'lost', settled_at = now(), resume_at = NULL", "purchase_state_known"),
        ("INSERT INTO purchase_item VALUES (gen_random_uuid(), 1, 1)", "purchase_item_purchase_id_fkey"),
        ("INSERT INTO purchase_item SELECT id, 0, 1 FROM purchase", "purchase_item_sku_in_range"),
        ("INSERT INTO purchase_item SELECT id, 1, 0 FROM purchase", "purchase_item_count_in_range"),
        ("INSERT INTO purchase_item SELECT id, 1, 65536 FROM purchase", "purchase_item_count_in_range"),
        ("INSERT INTO product (sku) VALUES (0)", "product_sku_in_range"),
        ("INSERT INTO product (sku) VALUES (1), (1)", "product_pkey"),
        ("INSERT INTO product (sku, name) VALUES (1, 'x')", "product_told_as_a_whole"),
        ("INSERT INTO product (sku, name, price) VALUES (1, 'x', 1)", "product_told_as_a_whole"),
        ("INSERT INTO product (sku, told_at) VALUES (1, now())", "product_told_as_a_whole"),
        ("INSERT INTO product (sku, name, price, told_at) VALUES (1, 'x', -1, now())", "product_price_in_range"),
        ("INSERT INTO product (sku, asked) VALUES (1, -1)", "product_asked_not_negative"),
        ("INSERT INTO product_turn VALUES ('in_a_minute', 1)", "product_turn_bound_known"),
        ("INSERT INTO product_turn VALUES ('at_once', 0)", "product_turn_number_positive"),
        ("INSERT INTO product_turn VALUES ('at_once', 1), ('at_once', 1)", "product_turn_pkey"),
    ] {
        assert_eq!(violated(&pool, statement).await, constraint, "{statement}");
    }
    let statement = "INSERT INTO purchase (id, user_id, state, order_id, settled_at)
                     VALUES (gen_random_uuid(), 1, 'ordered', 1, now())";
    sqlx::query(statement).execute(&pool).await.expect("settled purchases of a user may be many");
}

#[tokio::test]
async fn migrations_go_up_and_down_and_up_again_and_explain_every_column() {
    let database = TestDatabase::create_empty().await;
    let migrations = checkout::app::Checkout::migrations();
    let tables = "SELECT count(*) FROM information_schema.tables
                  WHERE table_schema = 'public' AND table_name <> '_sqlx_migrations'";
    migrations.run(&database.pool).await.unwrap();
    assert_eq!(sqlx::query_scalar::<_, i64>(tables).fetch_one(&database.pool).await.unwrap(), 5);
    migrations.undo(&database.pool, 0).await.unwrap();
    assert_eq!(sqlx::query_scalar::<_, i64>(tables).fetch_one(&database.pool).await.unwrap(), 0);
    migrations.run(&database.pool).await.unwrap();

    let silent = "SELECT format('%s.%s', class.relname, attribute.attname) FROM pg_attribute attribute
                  JOIN pg_class class ON class.oid = attribute.attrelid AND class.relkind = 'r'
                  JOIN pg_namespace namespace ON namespace.oid = class.relnamespace AND namespace.nspname = 'public'
                  WHERE attribute.attnum > 0 AND class.relname <> '_sqlx_migrations'
                  AND (col_description(class.oid, attribute.attnum) IS NULL OR obj_description(class.oid) IS NULL)";
    let silent: Vec<String> = sqlx::query_scalar(silent).fetch_all(&database.pool).await.unwrap();
    assert!(silent.is_empty(), "{silent:?}");
}

#[tokio::test]
async fn no_statement_reads_a_whole_table() {
    let database = TestDatabase::create(checkout::app::Checkout::migrations()).await;
    let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join(".sqlx");
    database.assert_bounded(&queries, &PLANNING, &[]).await;
}
