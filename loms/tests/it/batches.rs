//! Orders that share a transaction get what they would get one after the other.

use std::{collections::HashMap, time::Duration};

use futures::future::join_all;
use loms::{
    domain::{
        lines::{Line, Tally},
        order::OrderRefusal,
    },
    usecase::{
        batch::{Command, OrderBatch, Outcome},
        change::{ChangeOrder, Wish},
        create::{CreateOrder, CreateRefusal},
    },
};
use platform::{
    batches::{Batch, Call},
    postgres::Locks,
    worker::Wake,
};
use proptest::{collection::vec, prelude::*, sample::Index, strategy::ValueTree as _, test_runner::TestRunner};
use proto::ids::{IdempotencyKey, OrderId};
use tonic::Code;
use tracing::Span;

use crate::world::{World, create, order, user};

/// Few users, keys and SKUs, so that they meet.
fn creations() -> impl Strategy<Value = Vec<CreateOrder>> {
    let lines = vec((1..5u32, 1..12u32), 1..4);
    let command = (1..4i64, proptest::option::of(0..4u8), lines).prop_map(|(user, key, lines)| {
        let mut tally = Tally::default();
        for (sku, count) in lines {
            tally.add(Line { sku: sku.try_into().unwrap(), count: count.try_into().unwrap() }).unwrap();
        }
        let key = IdempotencyKey::parse(key.map(|key| format!("key {key}")).unwrap_or_default()).unwrap();
        CreateOrder { user: user.try_into().unwrap(), lines: tally.lines().unwrap(), key }
    });
    vec(command, 0..12)
}

/// Changes of orders by their place among all that there are.
fn changes() -> impl Strategy<Value = Vec<(Index, Wish)>> {
    vec((any::<Index>(), prop_oneof![Just(Wish::Pay), Just(Wish::Cancel)]), 0..12)
}

/// A world whose orders are named by when a call first heard of them.
struct Shop {
    world: World,
    batch: OrderBatch,
    names: HashMap<OrderId, usize>,
    orders: Vec<OrderId>,
}

impl Shop {
    async fn open() -> Self {
        let stock: Vec<_> = (1..5).flat_map(|sku| [(1, sku, 20), (2, sku, 15)]).collect();
        let world = World::with_stock(&stock).await;
        let payment_timeout = Duration::from_secs(600);
        let batch = OrderBatch { database: world.database(), payment_timeout, relay: Wake::default() };
        Self { world, batch, names: HashMap::new(), orders: Vec::new() }
    }

    fn name(&mut self, order: OrderId) -> usize {
        let next = self.orders.len();
        *self.names.entry(order).or_insert_with(|| {
            self.orders.push(order);
            next
        })
    }

    /// Changes orders that there are, and creates others, in batches of a size. Answers what came of each.
    async fn trade(&mut self, changes: &[(Index, Wish)], creations: &[CreateOrder], size: usize) -> Vec<String> {
        let change = |(index, wish): &(Index, Wish)| {
            (!self.orders.is_empty()).then(|| ChangeOrder { order: *index.get(&self.orders), wish: *wish })
        };
        let changes = changes.iter().filter_map(change).map(Command::Change);
        let commands: Vec<_> = changes.chain(creations.iter().cloned().map(Command::Create)).collect();
        let mut outcomes = Vec::new();
        for commands in commands.chunks(size) {
            let calls: Vec<_> =
                commands.iter().map(|command| Call { command: command.clone(), span: Span::none() }).collect();
            outcomes.extend(self.batch.run(&calls, Locks::Skip).await.unwrap());
        }
        let outcomes = outcomes.into_iter().map(|outcome| match outcome.expect("nobody else holds anything") {
            Outcome::Created(Ok(order)) => format!("order {}", self.name(order)),
            Outcome::Created(Err(CreateRefusal::InsufficientStock { order, shortage })) => {
                format!("order {} failed: {shortage:?}", self.name(order))
            }
            Outcome::Created(Err(CreateRefusal::KeyReused { order })) => {
                format!("order {} has other lines", self.name(order))
            }
            Outcome::Changed(Ok(())) => "done".to_owned(),
            Outcome::Changed(Err(
                OrderRefusal::NotPayable { status, .. } | OrderRefusal::NotCancellable { status, .. },
            )) => format!("is {status}"),
            Outcome::Changed(Err(refusal)) => panic!("{refusal:?}"),
        });
        outcomes.collect()
    }

    /// The stock, and the life of each order as it is told.
    async fn state(&self) -> (Vec<(i64, i64, i32, i32)>, Vec<Vec<String>>) {
        let stock = "SELECT sku, warehouse_id, on_hand, reserved FROM stock ORDER BY sku, warehouse_id";
        let stock = sqlx::query_as(stock).fetch_all(&self.world.database.pool).await.unwrap();
        let mut lives = Vec::new();
        for order in &self.orders {
            let life = "SELECT status FROM outbox WHERE order_id = $1 ORDER BY id";
            let life = sqlx::query_scalar(life).bind(order.get()).fetch_all(&self.world.database.pool);
            lives.push(life.await.unwrap());
        }
        (stock, lives)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_of_a_batch_get_what_they_would_get_one_after_the_other() {
    let mut runner = TestRunner::deterministic();
    for _ in 0..10 {
        let (mut together, mut alone) = (Shop::open().await, Shop::open().await);
        for _ in 0..8 {
            // In a batch, changes come before creations: what is cancelled can be sold.
            let (changes, creations) = (changes(), creations()).new_tree(&mut runner).unwrap().current();
            assert_eq!(
                together.trade(&changes, &creations, usize::MAX).await,
                alone.trade(&changes, &creations, 1).await,
                "{changes:?} {creations:?}"
            );
            assert_eq!(together.state().await, alone.state().await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cancelled_can_be_sold_in_the_same_transaction() {
    let mut shop = Shop::open().await;
    let all = |key: &str| {
        let mut tally = Tally::default();
        tally.add(Line { sku: 1u32.try_into().unwrap(), count: 35u32.try_into().unwrap() }).unwrap();
        let key = IdempotencyKey::parse(key.to_owned()).unwrap();
        CreateOrder { user: 1.try_into().unwrap(), lines: tally.lines().unwrap(), key }
    };
    assert_eq!(shop.trade(&[], &[all("first")], 1).await, ["order 0"]);
    let cancel = Command::Change(ChangeOrder { order: shop.orders[0], wish: Wish::Cancel });
    // In whatever order they come.
    let calls = [Command::Create(all("second")), cancel].map(|command| Call { command, span: Span::none() });
    let outcomes = shop.batch.run(&calls, Locks::Skip).await.unwrap();
    assert!(matches!(outcomes[..], [Some(Outcome::Created(Ok(_))), Some(Outcome::Changed(Ok(())))]), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_the_database_refuses_fails_alone() {
    let world = World::with_stock(&[(1, 7, 1000), (1, 13, 1000)]).await;
    world.execute("ALTER TABLE order_item ADD CONSTRAINT unlucky CHECK (sku <> 13)").await.unwrap();
    let loms = world.loms().await;
    let client = loms.client();
    let buyers = (0..100).map(|number| {
        let (client, sku) = (client.clone(), if number % 25 == 13 { 13 } else { 7 });
        async move { (sku, create(&client, order(user(), &[(sku, 1)])).await) }
    });
    for (sku, answer) in join_all(buyers).await {
        match sku {
            13 => assert_eq!(answer.unwrap_err().code(), Code::Internal),
            _ => assert!(answer.is_ok(), "{answer:?}"),
        }
    }
    assert_eq!((world.stock_of(7).await, world.stock_of(13).await), ((1000, 96), (1000, 0)));
}
