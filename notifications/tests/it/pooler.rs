//! Notifications behind a pooler that lends each transaction another session.

use platform::config::{FromText as _, PostgresUrl, service::Pooler};
use stack::postgres::PgBouncer;

use crate::world::{World, event};

#[tokio::test(flavor = "multi_thread")]
async fn events_are_kept_told_and_shown_behind_a_pooler() {
    let world = World::new().await;
    let pooler = PgBouncer::start(&world.database.url, "default_pool_size = 2").await.unwrap();
    let mut config = world.config();
    config.service.postgres.connection_string = PostgresUrl::from_text(pooler.url()).unwrap();
    config.service.postgres.pooler = Some(Pooler::Transaction);
    let replicas = [world.start_with(config.clone()).await, world.start_with(config).await];

    let once = event(1, 3, "once");
    world.topics.publish_all(&[once.clone(), once]).await;
    let events: Vec<_> = (0..100).map(|number| event(1, number % 10 + 1, &number.to_string())).collect();
    world.topics.publish_all(&events).await;
    world.until_deliveries("sent", 101).await;
    world.topics.until_all_committed().await;
    assert_eq!(replicas[0].client.history(1).await.len(), 101);
    for replica in replicas {
        replica.stop().await;
    }
    assert_eq!(world.told().len(), 101);
}
