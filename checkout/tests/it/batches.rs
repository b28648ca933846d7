//! Calls on carts that share a transaction get what they would get one after the other.

use std::{collections::HashMap, time::Duration};

use checkout::{
    domain::{
        Line,
        account::{End, Found},
        purchase::{Outcome, Pending, Purchase, PurchaseId},
    },
    usecase::{
        add::AddToCart,
        batch::{self, CartBatch, Command},
        delete::DeleteFromCart,
        purchase::BuyCart,
    },
};
use futures::future::join_all;
use platform::{
    batches::{Batch, Batches, Call},
    failure::Failure,
    postgres::{Database, Locks},
};
use proptest::{collection::vec, option, prelude::*, sample::Index, strategy::ValueTree as _, test_runner::TestRunner};
use proto::{
    ids::{IdempotencyKey, UserId},
    refusal::{Reason, Refusal},
};
use stack::testing::TestDatabase;
use tracing::Span;

use crate::world::CHECKS;

/// What a call wants. Purchases are named by when a call first heard of them.
#[derive(Debug, Clone)]
enum Wish {
    Add { user: i64, line: Line, available: u64 },
    Delete { user: i64, line: Line },
    Begin { user: i64, key: Option<u8> },
    Order(Index),
    Refuse(Index),
    Abandon(Index),
}

/// Few users, keys and SKUs, so that they meet.
fn wishes() -> impl Strategy<Value = Vec<Wish>> {
    let line = || {
        (1..4u32, 1..6u32)
            .prop_map(|(sku, count)| Line { sku: sku.try_into().unwrap(), count: count.try_into().unwrap() })
    };
    let wish = prop_oneof![
        4 => (1..3i64, line(), 0..20u64).prop_map(|(user, line, available)| Wish::Add { user, line, available }),
        1 => (1..3i64, line()).prop_map(|(user, line)| Wish::Delete { user, line }),
        3 => (1..3i64, option::of(0..3u8)).prop_map(|(user, key)| Wish::Begin { user, key }),
        2 => any::<Index>().prop_map(Wish::Order),
        1 => any::<Index>().prop_map(Wish::Refuse),
        1 => any::<Index>().prop_map(Wish::Abandon),
    ];
    vec(wish, 1..12)
}

struct Shop {
    database: TestDatabase,
    batch: CartBatch,
    names: HashMap<PurchaseId, usize>,
    purchases: Vec<Pending>,
    orders: i64,
}

impl Shop {
    async fn open() -> Self {
        let database = TestDatabase::create(<checkout::app::Checkout as platform::service::Service>::migrations())
            .await
            .checked(CHECKS);
        let options = database.pool.connect_options().as_ref().clone();
        let batch = CartBatch { database: Database::new(options, 8, Duration::from_secs(30)) };
        Self { database, batch, names: HashMap::new(), purchases: Vec::new(), orders: 0 }
    }

    fn command(&mut self, wish: &Wish) -> Option<Command> {
        let user = |user: &i64| UserId::try_from(*user).unwrap();
        let purchase = |index: &Index, end| {
            let purchase = (!self.purchases.is_empty()).then(|| index.get(&self.purchases).clone())?;
            Some(Command::End(purchase, end))
        };
        match wish {
            Wish::Add { user: name, line, available } => {
                Some(Command::Add(AddToCart { user: user(name), line: *line }, *available))
            }
            Wish::Delete { user: name, line } => {
                Some(Command::Delete(DeleteFromCart { user: user(name), line: *line }))
            }
            Wish::Begin { user: name, key } => {
                let key = IdempotencyKey::parse(key.map(|key| format!("key {key}")).unwrap_or_default()).unwrap();
                Some(Command::Begin(BuyCart { user: user(name), key }, Duration::from_secs(600)))
            }
            Wish::Order(index) => {
                self.orders += 1;
                purchase(index, End::Settled(Outcome::Ordered(self.orders.try_into().unwrap())))
            }
            Wish::Refuse(index) => {
                purchase(index, End::Settled(Outcome::Refused(Refusal::new(Reason::InsufficientStock, "no stock"))))
            }
            Wish::Abandon(index) => purchase(index, End::Abandoned),
        }
    }

    fn name(&mut self, pending: &Pending) -> usize {
        let next = self.names.len();
        *self.names.entry(pending.id).or_insert_with(|| {
            self.purchases.push(pending.clone());
            next
        })
    }

    /// Grants wishes in batches of a size. Answers what came of each.
    async fn grant(&mut self, wishes: &[Wish], size: usize) -> Vec<String> {
        let commands: Vec<_> = wishes.iter().filter_map(|wish| self.command(wish)).collect();
        let mut outcomes = Vec::new();
        for commands in commands.chunks(size) {
            let calls: Vec<_> =
                commands.iter().map(|command| Call { command: command.clone(), span: Span::none() }).collect();
            outcomes.extend(self.batch.run(&calls, Locks::Skip).await.unwrap());
        }
        let outcomes = outcomes.into_iter().map(|outcome| match outcome.expect("nobody else holds anything") {
            batch::Outcome::Found(Found::Begun(pending)) => {
                format!("begun {} of {:?}", self.name(&pending), pending.lines)
            }
            batch::Outcome::Found(Found::Purchase(Purchase::Pending(pending))) => {
                format!("pending {} of {:?}", self.name(&pending), pending.lines)
            }
            batch::Outcome::Found(Found::Untold(id, order)) => format!("untold {} {order}", self.names[&id]),
            batch::Outcome::Found(found) => format!("{found:?}"),
            batch::Outcome::Added(added) => format!("{added:?}"),
            batch::Outcome::Deleted(deleted) => format!("{deleted:?}"),
            batch::Outcome::Ended(ended) => format!("{ended:?}"),
        });
        outcomes.collect()
    }

    /// Carts, and purchases by name.
    async fn state(&self) -> (Vec<(i64, i64, i32)>, Vec<(usize, String, Option<i64>, Vec<i64>)>) {
        let carts = "SELECT user_id, sku, count FROM cart_item ORDER BY user_id, sku";
        let carts = sqlx::query_as(carts).fetch_all(&self.database.pool).await.unwrap();
        let purchases = "SELECT id, state, order_id, \
                         ARRAY(SELECT sku * 100 + count FROM purchase_item WHERE purchase_id = id ORDER BY sku) \
                         FROM purchase";
        let purchases: Vec<(uuid::Uuid, String, Option<i64>, Vec<i64>)> =
            sqlx::query_as(purchases).fetch_all(&self.database.pool).await.unwrap();
        let mut purchases: Vec<_> = purchases
            .into_iter()
            .map(|(id, state, order, lines)| (self.names[&PurchaseId(id)], state, order, lines))
            .collect();
        purchases.sort_unstable();
        (carts, purchases)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_a_batch_get_what_they_would_get_one_after_the_other() {
    let mut runner = TestRunner::deterministic();
    for _ in 0..15 {
        let (mut together, mut alone) = (Shop::open().await, Shop::open().await);
        for _ in 0..10 {
            let wishes = wishes().new_tree(&mut runner).unwrap().current();
            assert_eq!(together.grant(&wishes, usize::MAX).await, alone.grant(&wishes, 1).await, "{wishes:?}");
            assert_eq!(together.state().await, alone.state().await, "{wishes:?}");
        }
    }
}

/// On one thread, so that all calls are there when the first transaction begins.
#[tokio::test]
async fn a_purchase_that_somebody_holds_in_the_database_holds_up_its_own_call_alone() {
    let Shop { database, batch, .. } = Shop::open().await;
    let batches = Batches::new(batch);
    let add = |user: i64| {
        let line = Line { sku: 1u32.try_into().unwrap(), count: 1u32.try_into().unwrap() };
        batches.call(Command::Add(AddToCart { user: user.try_into().unwrap(), line }, 10))
    };
    add(1).await.unwrap();
    let buy = BuyCart { user: 1.try_into().unwrap(), key: None };
    let begun = batches.call(Command::Begin(buy, Duration::from_secs(600))).await.unwrap();
    let batch::Outcome::Found(Found::Begun(purchase)) = begun else { panic!("{begun:?}") };
    let end = || batches.call(Command::End(purchase.clone(), End::Settled(Outcome::Ordered(5.try_into().unwrap()))));

    let mut holder = database.pool.begin().await.unwrap();
    sqlx::query("SELECT FROM purchase FOR UPDATE").execute(&mut *holder).await.unwrap();
    let (held, others) = tokio::join!(end(), join_all((2..40).map(add)));
    assert!(matches!(held, Err(Failure::Locked(_))), "{held:?}");
    for other in others {
        assert!(matches!(other, Ok(batch::Outcome::Added(Ok(())))), "{other:?}");
    }
    holder.rollback().await.unwrap();
    end().await.unwrap();
}
