//! The pool, and the metrics of transactions.

use std::time::Duration;

use platform::{failure::Failure, postgres::Database};
use stack::testing::TestDatabase;

use crate::world::metrics_show;

fn database(test: &TestDatabase, max_connections: u32) -> Database {
    let options = test.pool.connect_options().as_ref().clone();
    Database::new(options, max_connections, Duration::from_millis(500))
}

#[tokio::test]
async fn a_full_pool_is_too_much_load_for_a_transaction_and_for_a_single_statement() {
    let test = TestDatabase::create_empty().await;
    let database = database(&test, 3).background();

    let holder = database.begin("holds_the_only_connection").await.unwrap();
    assert!(matches!(database.begin("waits_in_vain").await, Err(Failure::Overloaded(_))));
    let one = async || sqlx::query_scalar::<_, i32>("/* one */ SELECT 1").fetch_one(&database).await;
    assert!(matches!(one().await.map_err(Failure::from), Err(Failure::Overloaded(_))));
    drop(holder);
    assert_eq!(one().await.unwrap(), 1);
}

#[tokio::test]
async fn transactions_and_single_statements_are_counted_by_name_and_outcome() {
    let test = TestDatabase::create_empty().await;
    let database = database(&test, 3);

    database.begin("kept").await.unwrap().commit().await.unwrap();
    drop(database.begin("dropped").await.unwrap());
    let good = sqlx::query("/* good */ SELECT 1").execute(&database).await;
    let bad = sqlx::query("/* bad */ SELECT 1 / 0").execute(&database).await;
    assert!(good.is_ok() && bad.is_err());

    for (transaction, outcome) in
        [("kept", "committed"), ("dropped", "released"), ("good", "committed"), ("bad", "failed")]
    {
        let sample = format!("postgres_transactions_total{{outcome=\"{outcome}\",transaction=\"{transaction}\"}} 1");
        assert!(metrics_show(&sample), "{sample}");
        let sample = format!("postgres_transaction_seconds_count{{transaction=\"{transaction}\"}} 1");
        assert!(metrics_show(&sample), "{sample}");
    }
}
