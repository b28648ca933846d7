//! Messages that arrived long ago are forgotten, if that is wanted.

use std::time::Duration;

use platform::config::service::Retention;
use stack::testing::eventually;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_arrived_long_ago_are_forgotten_and_no_others() {
    let world = World::new().await;
    sqlx::query(
        "WITH kept AS (
            INSERT INTO message (event_id, user_id, order_id, status, text, occurred_at, received_at)
            SELECT text, 1, position, 'new', text, now(), now() - age
            FROM unnest('{sent,untold,due,recent}'::text[], '{2 days,2 days,2 days,1 hour}'::interval[])
                WITH ORDINALITY AS told (text, age, position)
            RETURNING id, order_id, text
        )
        INSERT INTO delivery (message_id, order_id, state, attempts, next_attempt_at, settled_at)
        SELECT id, order_id, CASE text WHEN 'due' THEN 'due' ELSE 'sent' END, 1, now() + interval '1 hour',
            CASE WHEN text <> 'due' THEN now() END
        FROM kept WHERE text <> 'untold'",
    )
    .execute(world.pool())
    .await
    .unwrap();
    let mut config = world.config();
    config.service.postgres.retention = Some(Retention(Duration::from_secs(24 * 60 * 60)));
    let replica = world.start_with(config).await;
    eventually("the old ones are gone", async || (world.kept().await.len() == 2).then_some(())).await;
    assert_eq!(world.kept().await, ["due", "recent"]);
    replica.stop().await;
}
