//! The database comes and goes.

use sqlx::{Connection as _, Executor as _, PgConnection};
use stack::telegram::Fault;
use stack::testing::{POSTGRES_VARIABLE, eventually};

use crate::world::{World, event};

/// Makes a database refuse and cut every connection until it is dropped.
struct Outage {
    server: PgConnection,
    database: String,
}

impl Outage {
    async fn of(world: &World) -> Self {
        let database: String = sqlx::query_scalar("SELECT current_database()").fetch_one(world.pool()).await.unwrap();
        let server = PgConnection::connect(&std::env::var(POSTGRES_VARIABLE).unwrap()).await.unwrap();
        let mut outage = Self { server, database };
        outage.allow_connections(false).await;
        outage.cut().await;
        outage
    }

    async fn end(mut self) {
        self.allow_connections(true).await;
    }

    async fn allow_connections(&mut self, allowed: bool) {
        let statement = format!("ALTER DATABASE {} ALLOW_CONNECTIONS {allowed}", self.database);
        self.server.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
    }

    async fn cut(&mut self) {
        sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1")
            .bind(&self.database)
            .execute(&mut self.server)
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_database_loses_no_event_and_keeps_none_twice() {
    let world = World::new().await;
    let replica = world.start().await;
    let events: Vec<_> = (0..60).map(|number| event(1, number + 1, &format!("{number:02}"))).collect();
    let (before, during) = events.split_at(20);
    let (during, after) = during.split_at(20);
    world.topics.publish_all(before).await;
    world.until_kept(20).await;
    let outage = Outage::of(&world).await;
    world.topics.publish_all(during).await;
    world.topics.put(0, Some(b"poison")).await;
    eventually("the outage is noticed", async || replica.client.try_history(1).await.err()).await;
    outage.end().await;
    world.topics.publish_all(after).await;
    let mut kept = world.until_kept(60).await;
    world.topics.until_all_committed().await;
    kept.sort();
    assert_eq!(kept, (0..60).map(|number| format!("{number:02}")).collect::<Vec<_>>());
    assert_eq!(world.kept().await.len(), 60);
    assert_eq!(world.topics.dead_letters(1).await.len(), 1);
    let mut told = world.until_told(60).await;
    told.sort();
    assert_eq!(told, kept);
    replica.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_telegram_took_during_an_outage_is_not_sent_again() {
    let world = World::new().await;
    world.telegram.misbehave(Fault { delay_ms: 500, ..Fault::default() });
    let replica = world.start().await;
    world.topics.publish(&event(1, 3, "slow")).await;
    eventually("it is on its way", async || {
        let claimed: i64 = sqlx::query_scalar("SELECT count(*) FROM delivery WHERE attempts = 1")
            .fetch_one(world.pool())
            .await
            .unwrap();
        (claimed == 1).then_some(())
    })
    .await;
    let outage = Outage::of(&world).await;
    world.until_told(1).await;
    outage.end().await;
    world.until_deliveries("sent", 1).await;
    world.topics.publish(&event(1, 3, "next")).await;
    assert_eq!(world.until_told(2).await, ["slow", "next"]);
    replica.stop().await;
}
