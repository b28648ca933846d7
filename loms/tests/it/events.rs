//! The events of orders, as the topic has them.

use std::time::Duration;

use loms::{
    domain::{
        lines::{Line, Tally},
        order::Order,
        plan::Shortage,
        status::State,
        transition::Transition,
    },
    kafka::Publisher,
    relay::Relay,
    store::{self, Change, CreatedOrder, orders::Found},
    usecase::create::CreateOrder,
};
use platform::{
    grpc::server::TRACE_ID_HEADER,
    postgres::{Database, Transaction},
    worker::{Next, Step as _},
};
use proto::ids::UserId;
use proto::loms::{CancelOrderRequest, OrderPayedRequest};
use stack::testing::{brokers, eventually};

use crate::{
    topic::{Record, published, records_of, statuses},
    world::{World, cluster, create, lock, order, user},
};

fn relay(world: &World) -> Relay {
    Relay::new(world.database(), Publisher::new(cluster(&brokers())).unwrap())
}

/// Drives a relay until a condition holds.
async fn relay_until(relay: &mut Relay, done: impl AsyncFn() -> bool) {
    let driving = async { while relay.step().await.unwrap() == Next::Worked || !done().await {} };
    tokio::time::timeout(Duration::from_secs(30), driving).await.expect("the relay is done in time");
}

fn command(user: i64) -> CreateOrder {
    let mut tally = Tally::default();
    tally.add(Line { sku: 7u32.try_into().unwrap(), count: 1u32.try_into().unwrap() }).unwrap();
    CreateOrder { user: UserId::try_from(user).unwrap(), lines: tally.lines().unwrap(), key: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_status_of_an_order_is_published_in_order() {
    let world = World::with_stock(&[(1, 7, 100)]).await;
    let loms = world.loms().await;
    let client = loms.client();
    let user = user();
    let mut expected = Vec::new();
    for _ in 0..5 {
        let paid = create(&client, order(user, &[(7, 1)])).await.unwrap();
        client.clone().order_payed(OrderPayedRequest { order_id: paid }).await.unwrap();
        let cancelled = create(&client, order(user, &[(7, 1)])).await.unwrap();
        client.clone().cancel_order(CancelOrderRequest { order_id: cancelled }).await.unwrap();
        create(&client, order(user, &[(7, 1000)])).await.unwrap_err();
        expected.push((paid, ["new", "awaiting payment", "paid"].as_slice()));
        expected.push((cancelled, ["new", "awaiting payment", "cancelled"].as_slice()));
        expected.push((cancelled + 1, ["new", "failed"].as_slice()));
    }
    let records = published(&world, &brokers(), &[user], 40).await;
    assert_eq!(records.len(), 40);
    for (order, expected) in expected {
        assert_eq!(statuses(&records, order), expected, "order {order}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_has_the_key_value_and_headers_that_readers_rely_on() {
    let world = World::with_stock(&[(1, 7, 100)]).await;
    let loms = world.loms().await;
    let user = user();
    let answer = loms.client().create_order(order(user, &[(7, 1)])).await.unwrap();
    let trace = answer.metadata().get(TRACE_ID_HEADER).unwrap().to_str().unwrap().to_owned();
    let id = answer.into_inner().order_id;
    let records = published(&world, &brokers(), &[user], 2).await;

    let mut publisher = Publisher::new(cluster(&brokers())).unwrap();
    publisher.prepare().await.unwrap();
    let mut moments = Vec::new();
    for record in &records {
        assert_eq!(record.key, id.to_string());
        assert_eq!(record.partition, partition_of(&record.key));
        assert_eq!(usize::try_from(record.partition), Ok(publisher.partition(id.try_into().unwrap())));
        assert_eq!((record.user(), record.order()), (user, id));
        let mut names: Vec<_> = record.value.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["EventID", "Message", "OccurredAt", "OrderID", "Status", "UserId"]);
        record.event_id().parse::<uuid::Uuid>().unwrap();
        let moment = record.value["OccurredAt"].as_str().unwrap();
        assert!(moment.ends_with('Z'), "{moment} is in UTC");
        moments.push(moment.parse::<chrono::DateTime<chrono::Utc>>().unwrap());
        assert_eq!(record.headers["content-type"], "application/json");
        let traceparent: Vec<_> = record.headers["traceparent"].split('-').collect();
        assert_eq!(traceparent[1], trace, "the event belongs to the trace of the call");
    }
    assert_eq!(records[0].value["Message"], format!("Order {id} is created."));
    assert!(moments.is_sorted(), "{moments:?}");
}

/// Where the FNV-1a partitioners of Sarama and librdkafka put a key.
fn partition_of(key: &str) -> i32 {
    let hash = key.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash.cast_signed() % 3).abs()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_of_the_caller_runs_on_into_the_event() {
    let world = World::with_stock(&[(1, 7, 100)]).await;
    let loms = world.loms().await;
    let user = user();
    let mut request = tonic::Request::new(order(user, &[(7, 1)]));
    // The platform's channel carries the trace of the span that calls, so the caller has one.
    let span = tracing::info_span!(target: "loms", parent: None, "caller");
    let trace = platform::telemetry::trace::trace_id(&span).unwrap();
    request.set_timeout(Duration::from_secs(5));
    let mut client = loms.client();
    tracing::Instrument::instrument(client.create_order(request), span).await.unwrap();
    for record in published(&world, &brokers(), &[user], 2).await {
        assert_eq!(record.headers["traceparent"].split('-').nth(1), Some(trace.as_str()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_rolled_back_leaves_no_event() {
    let world = World::with_stock(&[(1, 7, 100)]).await;
    let orders = world.orders(Duration::from_secs(600));
    let (seen, unseen) = (user(), user());
    let id = orders.create(command(seen)).await.unwrap();

    let mut transaction = world.database().begin("change_orders").await.unwrap();
    let locked = store::orders::lock(&mut transaction, &[id]).await.unwrap().remove(&id).unwrap().unwrap();
    let paid = locked.order.pay(chrono::DateTime::UNIX_EPOCH).unwrap().unwrap();
    store::apply(&mut transaction, &[change(paid)], 1).await.unwrap();
    drop(transaction);
    let mut transaction = world.database().begin("change_orders").await.unwrap();
    create_failed(&mut transaction, unseen).await;
    drop(transaction);

    let mut relay = relay(&world);
    while relay.step().await.unwrap() == Next::Worked {}
    let records = published(&world, &brokers(), &[seen, unseen], 2).await;
    assert_eq!(records.iter().map(Record::status).collect::<Vec<_>>(), ["new", "awaiting payment"]);
}

fn change(transition: Transition) -> Change {
    Change { transition, span: tracing::Span::none() }
}

async fn create_failed(transaction: &mut Transaction, user: i64) {
    let CreateOrder { user, lines, .. } = command(user);
    let found = store::orders::find(transaction, &[(user, None)], Duration::from_secs(600)).await.unwrap();
    let [Found::New(new)] = found[..] else { panic!("{found:?}") };
    let short = Shortage { sku: 7u32.try_into().unwrap(), requested: 1u32.try_into().unwrap(), available: 0 };
    let change = change(new.decide(&Err(short)));
    let order = CreatedOrder { new, user, key: None, lines: &lines, reservations: Vec::new(), change };
    store::create(transaction, &[order]).await.unwrap();
}

#[tokio::test]
async fn a_change_of_an_order_that_has_another_status_by_now_is_refused_whole() {
    let world = World::with_stock(&[(1, 7, 100)]).await;
    let orders = world.orders(Duration::from_secs(600));
    let [one, other] = [orders.create(command(user())).await.unwrap(), orders.create(command(user())).await.unwrap()];
    orders.cancel(other).await.unwrap();

    let past = chrono::DateTime::UNIX_EPOCH;
    let waits = |id| Order { id, created_at: past, pay_before: past, state: State::AwaitingPayment };
    let stale = [one, other].map(|id| change(waits(id).expire(past).unwrap()));
    let mut transaction = world.database().begin("change_orders").await.unwrap();
    store::apply(&mut transaction, &stale, 2).await.unwrap_err();
    drop(transaction);
    assert_eq!(world.number("SELECT count(*) FROM orders WHERE status = 'awaiting payment'").await, 1);
    assert_eq!(world.number("SELECT count(*) FROM outbox").await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_committed_after_later_ones_were_published_is_published() {
    let world = World::with_stock(&[(1, 7, 100)]).await;
    let orders = world.orders(Duration::from_secs(600));
    let [late, early] = [user(), user()];
    let mut transaction = world.database().begin("change_orders").await.unwrap();
    create_failed(&mut transaction, late).await;
    let mut relay = relay(&world);
    for published in 1..=3 {
        orders.create(command(early)).await.unwrap();
        relay_until(&mut relay, async || world.number("SELECT count(*) FROM outbox").await == 0).await;
        records_of(&brokers(), &[early], 2 * published).await;
    }
    transaction.commit().await.unwrap();
    relay_until(&mut relay, async || world.number("SELECT count(*) FROM outbox").await == 0).await;
    let records = records_of(&brokers(), &[late], 2).await;
    assert_eq!(records.iter().map(Record::status).collect::<Vec<_>>(), ["new", "failed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_is_not_read_again_while_an_old_snapshot_keeps_it() {
    let world = World::with_stock(&[(1, 7, 100_000)]).await;
    let orders = world.orders(Duration::from_secs(600));
    let mut old = world.database.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    lock(&mut old, "SELECT FROM outbox").await;
    let user = user();
    let options = world.database.pool.connect_options().as_ref().clone().application_name("relay");
    let database = Database::new(options, 4, Duration::from_secs(30));
    let mut relay = Relay::new(database, Publisher::new(cluster(&brokers())).unwrap());
    for _ in 0..4 {
        futures::future::join_all((0..100).map(|_| orders.create(command(user)))).await;
        relay_until(&mut relay, async || world.number("SELECT count(*) FROM outbox").await == 0).await;
    }
    // The floor rises to what was seen when all transactions have ended that ran then, those of other tests as well: first
    // to what the waves saw, then to the last of it.
    for _ in 0..2 {
        let begun = world.number("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").await;
        eventually("what ran meanwhile has ended", async || {
            let ended = world.number("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint").await;
            (ended >= begun).then_some(())
        })
        .await;
        relay.step().await.unwrap();
    }
    for _ in 0..50 {
        relay.step().await.unwrap();
    }
    drop(relay);
    // A session that ends tells what it has read.
    eventually("the relay's sessions end", async || {
        let sessions = "SELECT count(*) FROM pg_stat_activity \
                        WHERE application_name = 'relay' AND datname = current_database()";
        (world.number(sessions).await == 0).then_some(())
    })
    .await;
    // 800 events were published. Without a floor, each of the last 50 searches would read over all of them.
    let read = world.number("SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'outbox_pkey'").await;
    assert!(read < 50 * 800 / 2, "{read} entries of the index were read");
    old.rollback().await.unwrap();
}

#[tokio::test]
async fn a_long_outbox_is_counted_up_to_a_bound() {
    let world = World::with_stock(&[(1, 7, 100)]).await;
    world.orders(Duration::from_secs(600)).create(command(user())).await.unwrap();
    world
        .execute(
            "INSERT INTO outbox (order_id, user_id, status, message, occurred_at) \
             SELECT order_id, user_id, status, message, now() - interval '1 hour' \
             FROM outbox, generate_series(1, 60000)",
        )
        .await
        .unwrap();
    let backlog = store::outbox::backlog(&world.database(), 0).await.unwrap().backlog;
    assert_eq!(backlog.count, 100_000);
    assert!((3600..3700).contains(&backlog.oldest_seconds), "{backlog:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_relay_died_before_deleting_it_is_published_again_as_the_same_event() {
    let world = World::with_stock(&[(1, 7, 100)]).await;
    let user = user();
    world.orders(Duration::from_secs(600)).create(command(user)).await.unwrap();

    // Somebody else's lock keeps the relay between the broker's acknowledgement and the end of its transaction.
    let mut holder = world.database.pool.begin().await.unwrap();
    lock(&mut holder, "SELECT FROM outbox FOR UPDATE").await;
    let mut doomed = relay(&world);
    let doomed = tokio::spawn(async move { doomed.step().await });
    world.until_blocked(1).await;
    let first = records_of(&brokers(), &[user], 2).await;
    assert_eq!(first.iter().map(Record::status).collect::<Vec<_>>(), ["new", "awaiting payment"]);
    doomed.abort();
    assert!(doomed.await.unwrap_err().is_cancelled());
    holder.rollback().await.unwrap();

    let mut next = relay(&world);
    relay_until(&mut next, async || world.number("SELECT count(*) FROM outbox").await == 0).await;
    let records = records_of(&brokers(), &[user], 4).await;
    for (again, first) in std::iter::zip(&records[2..], &first) {
        assert_eq!((again.event_id(), &again.value), (first.event_id(), &first.value));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_that_run_at_once_publish_each_event_once() {
    const ORDERS: usize = 150;
    let world = World::with_stock(&[(1, 7, 1000)]).await;
    let user = user();
    let orders = world.orders(Duration::from_secs(600));
    let creating = async {
        for _ in 0..ORDERS {
            orders.create(command(user)).await.unwrap();
        }
    };
    let done = async || {
        world.number("SELECT count(*) FROM orders").await == i64::try_from(ORDERS).unwrap()
            && world.number("SELECT count(*) FROM outbox").await == 0
    };
    let (mut one, mut other) = (relay(&world), relay(&world));
    tokio::join!(creating, relay_until(&mut one, done), relay_until(&mut other, done));
    let records = records_of(&brokers(), &[user], 2 * ORDERS).await;
    assert_eq!(records.len(), 2 * ORDERS);
    for id in 1..=i64::try_from(ORDERS).unwrap() {
        assert_eq!(statuses(&records, id), ["new", "awaiting payment"], "order {id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_be_published_holds_back_its_own_order_and_no_other() {
    let world = World::with_stock(&[(1, 7, 100)]).await;
    let orders = world.orders(Duration::from_secs(600));
    let user = user();
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(orders.create(command(user)).await.unwrap().get());
    }
    // More than a record may hold.
    let swollen = format!("SET message = repeat('x', 3000000) WHERE status = 'new' AND order_id = {}", ids[1]);
    world.execute(&format!("UPDATE outbox {swollen}")).await.unwrap();

    let mut relay = relay(&world);
    while relay.step().await.is_ok_and(|next| next == Next::Worked) {}
    while relay.step().await.is_ok_and(|next| next == Next::Worked) {}
    let records = records_of(&brokers(), &[user], 4).await;
    for (id, expected) in std::iter::zip(&ids, [2, 0, 2]) {
        assert_eq!(statuses(&records, *id).len(), expected, "order {id}");
    }
    assert_eq!(world.number("SELECT count(*) FROM outbox").await, 2);

    world.execute("UPDATE outbox SET message = 'shorter'").await.unwrap();
    relay_until(&mut relay, async || world.number("SELECT count(*) FROM outbox").await == 0).await;
    let records = records_of(&brokers(), &[user], 6).await;
    assert_eq!(statuses(&records, ids[1]), ["new", "awaiting payment"]);
}
