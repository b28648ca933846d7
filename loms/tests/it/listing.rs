//! A user's orders, a page at a time.

use prost::Message as _;
use proto::loms::{
    CancelOrderRequest, ListOrdersRequest, ListOrdersResponse, OrderItem, OrderPayedRequest, OrderSummary,
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::world::{Client, World, create, order, user};

/// The most orders of a page.
const MOST: usize = 1_000;

async fn list(client: &Client, request: ListOrdersRequest) -> Result<ListOrdersResponse, Status> {
    client.clone().list_orders(request).await.map(tonic::Response::into_inner)
}

fn of(user: i64) -> ListOrdersRequest {
    ListOrdersRequest { user, ..Default::default() }
}

fn numbers(orders: &[OrderSummary]) -> Vec<i64> {
    orders.iter().map(|order| order.order_id).collect()
}

/// All pages of a user, from the newest order to the oldest, and how many there were.
async fn all(client: &Client, user: i64, page_size: u32) -> (Vec<i64>, usize) {
    let (mut found, mut pages) = (Vec::new(), 0);
    let mut request = ListOrdersRequest { page_size, ..of(user) };
    loop {
        let page = list(client, request.clone()).await.unwrap();
        assert!(page.orders.len() <= page_size as usize);
        found.extend(numbers(&page.orders));
        pages += 1;
        if page.next_page_token.is_empty() {
            return (found, pages);
        }
        assert_eq!(page.orders.len(), page_size as usize, "only the last page may have less");
        request.page_token = page.next_page_token;
    }
}

/// The violated fields, each with what is wrong about it.
#[track_caller]
fn violations(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let violations = status.get_details_bad_request().unwrap().field_violations;
    violations.into_iter().map(|violation| format!("{}: {}", violation.field, violation.description)).collect()
}

impl World {
    /// Writes so many paid orders of a user with one line each, three of each second up to now. Answers their numbers,
    /// newest first.
    async fn past_orders(&self, user: i64, count: usize) -> Vec<i64> {
        let written = format!(
            "WITH written AS (INSERT INTO orders (user_id, status, created_at, pay_before)
                SELECT {user}, 'paid', now() - interval '1 second' * ({count} - number / 3),
                       now() + interval '1 hour'
                FROM generate_series(1, {count}) AS number RETURNING id, created_at),
             items AS (INSERT INTO order_item SELECT id, 7, 1 FROM written)
             SELECT id FROM written ORDER BY created_at DESC, id DESC"
        );
        sqlx::query_scalar(sqlx::AssertSqlSafe(written)).fetch_all(&self.database.pool).await.unwrap()
    }
}

#[tokio::test]
async fn a_users_orders_are_listed_newest_first_with_what_became_of_them() {
    let world = World::with_stock(&[(1, 7, 10), (1, 8, 10)]).await;
    let loms = world.loms().await;
    let mut client = loms.client();
    let (user, another) = (user(), user());
    let paid = create(&client, order(user, &[(8, 1), (7, 2)])).await.unwrap();
    let cancelled = create(&client, order(user, &[(7, 1)])).await.unwrap();
    let of_another = create(&client, order(another, &[(7, 1)])).await.unwrap();
    create(&client, order(user, &[(7, 1), (8, 11)])).await.unwrap_err();
    let failed = world.number("SELECT max(id) FROM orders").await;
    let unpaid = create(&client, order(user, &[(7, 3)])).await.unwrap();
    client.order_payed(OrderPayedRequest { order_id: paid }).await.unwrap();
    client.cancel_order(CancelOrderRequest { order_id: cancelled }).await.unwrap();

    let page = list(&client, of(user)).await.unwrap();
    assert_eq!(page.next_page_token, "");
    let shown: Vec<_> = page.orders.iter().map(|order| (order.order_id, order.status.as_str())).collect();
    let expected = [(unpaid, "awaiting payment"), (failed, "failed"), (cancelled, "cancelled"), (paid, "paid")];
    assert_eq!(shown, expected);
    assert_eq!(page.orders[1].items, [OrderItem { sku: 7, count: 1 }, OrderItem { sku: 8, count: 11 }]);
    assert_eq!(page.orders[3].items, [OrderItem { sku: 7, count: 2 }, OrderItem { sku: 8, count: 1 }]);
    for order in page.orders {
        let request = proto::loms::ListOrderRequest { order_id: order.order_id };
        let single = client.list_order(request).await.unwrap().into_inner();
        assert_eq!((single.status, single.items), (order.status, order.items));
        assert_eq!((single.created_at, single.pay_before), (order.created_at, order.pay_before));
    }
    assert_eq!(numbers(&list(&client, of(another)).await.unwrap().orders), [of_another]);
    assert_eq!(list(&client, of(i64::MAX)).await.unwrap(), ListOrdersResponse::default(), "an unknown user has none");
}

#[tokio::test]
async fn pages_of_any_size_have_every_order_once() {
    let world = World::with_stock(&[]).await;
    let loms = world.loms().await;
    let client = loms.client();
    let (user, another) = (user(), user());
    // Pages end between orders of one moment.
    let expected = world.past_orders(user, 11).await;
    world.past_orders(another, 5).await;
    for size in 1..=12 {
        let pages = expected.len().div_ceil(size);
        assert_eq!(all(&client, user, u32::try_from(size).unwrap()).await, (expected.clone(), pages), "{size} a page");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_complete_and_without_doubles_while_orders_arrive_and_change() {
    let world = World::with_stock(&[(1, 7, 1000)]).await;
    let loms = world.loms().await;
    let mut client = loms.client();
    let user = user();
    let mut before = Vec::new();
    for _ in 0..20 {
        before.push(create(&client, order(user, &[(7, 1)])).await.unwrap());
    }
    before.reverse();
    let mut found = Vec::new();
    let mut request = ListOrdersRequest { page_size: 3, ..of(user) };
    loop {
        let page = list(&client, request.clone()).await.unwrap();
        found.extend(numbers(&page.orders));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
        // One arrives; the reader's last order and the oldest one change.
        create(&client, order(user, &[(7, 1)])).await.unwrap();
        client.order_payed(OrderPayedRequest { order_id: *found.last().unwrap() }).await.unwrap();
        client.order_payed(OrderPayedRequest { order_id: *before.last().unwrap() }).await.unwrap();
    }
    assert_eq!(found, before);
    assert_eq!(all(&client, user, 7).await.0.len(), 26, "those that arrived are found by whoever begins anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_go_on_when_orders_are_forgotten() {
    let world = World::with_stock(&[]).await;
    let loms = world.loms().await;
    let client = loms.client();
    let user = user();
    let expected = world.past_orders(user, 6).await;
    let mut request = ListOrdersRequest { page_size: 2, ..of(user) };
    let page = list(&client, request.clone()).await.unwrap();
    assert_eq!(numbers(&page.orders), expected[..2]);
    // Also the one at which the page ended.
    let gone = format!("({}, {})", expected[1], expected[2]);
    world.execute(&format!("DELETE FROM order_item WHERE order_id IN {gone}")).await.unwrap();
    world.execute(&format!("DELETE FROM orders WHERE id IN {gone}")).await.unwrap();
    request.page_token = page.next_page_token;
    assert_eq!(numbers(&list(&client, request).await.unwrap().orders), expected[3..5]);
}

#[tokio::test]
async fn a_page_has_a_thousand_orders_unless_less_is_asked_for_and_clients_take_it() {
    let world = World::with_stock(&[]).await;
    let loms = world.loms().await;
    let client = loms.client();
    let user = user();
    let expected = world.past_orders(user, MOST + 1).await;
    // As many lines as an order may have, and as long ones.
    world.execute("DELETE FROM order_item").await.unwrap();
    let lines =
        "INSERT INTO order_item SELECT id, 4294967295 - line, 65535 FROM orders, generate_series(0, 99) AS line";
    world.execute(lines).await.unwrap();
    for page_size in [0, 1_000, 1_001, u32::MAX] {
        let request = ListOrdersRequest { page_size, ..of(user) };
        let page = list(&client, request.clone()).await.unwrap();
        assert_eq!(numbers(&page.orders), expected[..MOST]);
        assert!(page.orders.iter().all(|order| order.items.len() == 100));
        assert!(page.encoded_len() < 4 * 1024 * 1024, "{}", page.encoded_len());
        let rest = list(&client, ListOrdersRequest { page_token: page.next_page_token, ..request }).await.unwrap();
        assert_eq!((numbers(&rest.orders), &*rest.next_page_token), (expected[MOST..].to_vec(), ""));
    }
    // Exactly as many as there are: no empty page follows.
    world.execute(&format!("DELETE FROM order_item WHERE order_id = {}", expected[MOST])).await.unwrap();
    world.execute(&format!("DELETE FROM orders WHERE id = {}", expected[MOST])).await.unwrap();
    let page = list(&client, of(user)).await.unwrap();
    assert_eq!((page.orders.len(), &*page.next_page_token), (MOST, ""));
}

#[tokio::test]
async fn a_page_token_is_good_for_its_user_only_and_nonsense_is_told() {
    let world = World::with_stock(&[]).await;
    let loms = world.loms().await;
    let client = loms.client();
    let (user, another) = (user(), user());
    world.past_orders(user, 3).await;
    world.past_orders(another, 3).await;
    let request = ListOrdersRequest { page_size: 1, ..of(user) };
    let token = list(&client, request.clone()).await.unwrap().next_page_token;
    let with = |page_token: String| ListOrdersRequest { page_token, ..request.clone() };
    assert_eq!(list(&client, with(token.clone())).await.unwrap().orders.len(), 1);
    let no_token = "page_token: must be the next_page_token of a page of this user";
    for broken in [
        "nonsense".to_owned(),
        format!("{token} "),
        token[1..].to_owned(),
        token.to_uppercase(),
        "0".repeat(48),
        "f".repeat(48),
        "é".repeat(24),
        format!("{}{:016x}{}", &token[..16], i64::MAX, &token[32..]),
    ] {
        let refused = list(&client, with(broken.clone())).await.unwrap_err();
        assert_eq!(violations(&refused), [no_token], "{broken}");
    }
    let of_another = ListOrdersRequest { user: another, ..with(token.clone()) };
    assert_eq!(violations(&list(&client, of_another).await.unwrap_err()), [no_token]);

    let no_user = "user: must be above 0, is 0";
    let nobody = ListOrdersRequest { user: 0, ..with("nonsense".into()) };
    assert_eq!(violations(&list(&client, nobody).await.unwrap_err()), [no_user, no_token]);
    let nobody = ListOrdersRequest { user: 0, ..with(token) };
    assert_eq!(violations(&list(&client, nobody).await.unwrap_err()), [no_user], "whose token it is cannot be told");
}
