//! A Postgres that only reads for a while, as in the first minute of a failover.

use platform::{config::service::ServiceConfig, failure::Failure, postgres::Database};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, migrate::Migrator};
use stack::testing::{TestDatabase, eventually};

async fn write(database: &Database) -> Result<(), Failure> {
    sqlx::query("/* write */ INSERT INTO note VALUES (1)").execute(database).await?;
    Ok(())
}

#[tokio::test]
async fn a_postgres_that_only_reads_is_unavailable_and_its_connections_are_left_when_it_writes_again() {
    let test = TestDatabase::create_empty().await;
    test.pool.execute("CREATE TABLE note (id int)").await.unwrap();
    let set = async |setting: &str| {
        let name = test.pool.connect_options().get_database().unwrap().to_owned();
        let mut connection = test.pool.connect_options().as_ref().clone().connect().await.unwrap();
        // Only new sessions see it, so those that are open stay as they are, as after a failover.
        connection.execute("SET default_transaction_read_only = off").await.unwrap();
        let statement = format!("ALTER DATABASE {name} {setting}");
        connection.execute(AssertSqlSafe(statement)).await.unwrap();
    };
    set("SET default_transaction_read_only = on").await;
    let config = format!("postgres: {{connection_string: '{}', max_connections: 3}}\n", test.url)
        + "grpc: {listen: '127.0.0.1:0'}\nadmin: {listen: '127.0.0.1:0'}\n";
    let config: ServiceConfig = platform::config::parse("test.yaml", &config, &|_| None).unwrap();
    let config = config.postgres;
    let database = Database::connect("test", &config, &Migrator::DEFAULT).await.unwrap();
    let refused = write(&database).await.unwrap_err();
    assert!(matches!(refused, Failure::Unavailable { .. }), "{refused:?}");

    set("RESET default_transaction_read_only").await;
    eventually("the service writes again", async || write(&database).await.ok()).await;
    for _ in 0..20 {
        write(&database).await.expect("no connection leads to the server that only reads");
    }
}
