//! The database comes and goes.

use platform::config::{FromText as _, PostgresUrl};
use sqlx::{Connection as _, Executor as _, PgConnection};
use stack::telegram::Fault;
use stack::testing::{POSTGRES_VARIABLE, PostgresProxy, eventually};

use crate::{
    binary::Fleet,
    world::{World, event},
};

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
async fn a_replica_whose_database_does_not_answer_leaves_the_topic_to_others_until_it_does() {
    let world = World::new().await;
    let proxy = PostgresProxy::start().await;
    let mut config = world.config();
    config.service.postgres.connection_string = PostgresUrl::from_text(&proxy.url(&world.database.url)).unwrap();
    let events = |from: i64| (from..from + 30).map(|number| event(1, number, "text")).collect::<Vec<_>>();
    let first = world.start_with(config).await;
    world.topics.publish_all(&events(1)).await;
    world.until_kept(30).await;

    proxy.freeze();
    world.topics.publish_all(&events(31)).await;
    let second = world.start().await;
    world.until_kept(60).await;
    proxy.mend();
    second.stop().await;
    world.topics.publish_all(&events(61)).await;
    world.until_kept(90).await;
    world.topics.until_all_committed().await;
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_of_which_the_database_does_not_want_to_know_holds_up_its_own_order_and_is_not_made_again() {
    let fleet = Fleet::new().await;
    fleet.topics.create().await;
    fleet.database.refuse_updates("delivery", "NEW.order_id = 7 AND NEW.state <> 'due'").await;
    let program = fleet.start().await;
    for (order, text) in [(7, "refused"), (7, "behind it"), (8, "other"), (9, "another")] {
        fleet.topics.publish(&event(1, order, text)).await;
    }
    eventually("the others are told", async || (fleet.telegram.messages().len() == 3).then_some(())).await;
    program.until_metric("worker_skipped_items{worker=\"deliver\"}", 1.0).await;
    let mut told: Vec<_> = fleet.telegram.messages().into_iter().map(|message| message.text).collect();
    told.sort_unstable();
    assert_eq!(told, ["another", "other", "refused"]);
    program.until_logged("how a delivery went cannot be written down; its message is skipped").await;
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
