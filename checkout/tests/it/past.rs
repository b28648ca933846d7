//! Purchases that were settled long ago are forgotten, if that is wanted.

use std::time::Duration;

use checkout::store::past::OldPurchases;
use platform::{
    postgres::Database,
    retention::{Forgotten, Past as _},
};
use tonic::Code;

use crate::{loms_stand_in::Fault, world::World};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test(flavor = "multi_thread")]
async fn purchases_that_were_settled_long_ago_are_forgotten_and_no_others() {
    let world = World::new().await;
    let checkout = world.checkout().await;
    let client = checkout.client();
    for (user, key) in [(1, "old"), (2, "pending"), (3, "recent")] {
        client.add(user, 1001, 1).await.unwrap();
        if key == "pending" {
            world.loms.then(Fault::Fail(Code::Unavailable));
        }
        assert_eq!(client.purchase(user, key).await.is_ok(), key != "pending");
    }
    sqlx::query(
        "UPDATE purchase SET created_at = created_at - interval '2 days', settled_at = settled_at - interval '2 days' \
         WHERE user_id <> 3",
    )
    .execute(&world.database.pool)
    .await
    .unwrap();

    let options = world.database.pool.connect_options().as_ref().clone();
    let past = OldPurchases { database: Database::new(options, 4, Duration::from_secs(30)) };
    let Forgotten { deleted, last } = past.forget(None, DAY).await.unwrap();
    assert_eq!(deleted, 1);
    assert_eq!(past.forget(last.as_ref(), DAY).await.unwrap().last, None, "nothing else is as old");
    for (user, states) in [(1, vec![]), (2, vec!["pending"]), (3, vec!["ordered"])] {
        assert_eq!(world.purchases(user).await, states);
    }
}
