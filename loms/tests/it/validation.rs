//! Bad requests, with everything that is wrong about them.

use std::collections::BTreeMap;

use proto::loms::{
    CancelOrderRequest, CreateOrderRequest, ListOrderRequest, OrderItem, OrderPayedRequest, StocksRequest,
};
use tonic::{Code, Status, codec::CompressionEncoding};
use tonic_types::StatusExt as _;

use crate::world::{Client, World, create, order, user};

/// The violated fields, sorted, with their descriptions.
#[track_caller]
fn violations(status: &Status) -> BTreeMap<String, String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let request = status.get_details_bad_request().expect("a bad request carries BadRequest");
    let number = request.field_violations.len();
    let fields: BTreeMap<_, _> =
        request.field_violations.into_iter().map(|violation| (violation.field, violation.description)).collect();
    assert_eq!(fields.len(), number, "each field is named once");
    fields
}

async fn fields(client: &Client, request: CreateOrderRequest) -> Vec<String> {
    violations(&create(client, request).await.unwrap_err()).into_keys().collect()
}

#[tokio::test]
async fn sixty_and_more_bad_lines_fit_into_the_headers_that_clients_accept() {
    let world = World::with_stock(&[]).await;
    let loms = world.loms().await;
    // What is beyond an order's lines is not looked at, but for their number.
    for (lines, all) in [(5, 11), (60, 121), (100, 201), (150, 202)] {
        let items = vec![(0, 0); lines];
        let status = create(&loms.client(), order(0, &items)).await.unwrap_err();
        let mut headers = tonic::codegen::http::HeaderMap::new();
        status.add_header(&mut headers).unwrap();
        let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        assert!(bytes <= 6 * 1024, "{bytes} bytes for {lines} bad lines");
        let told = status.get_details_bad_request().unwrap().field_violations.len();
        assert!(told == all || status.message().contains(&format!("the first {told} of {all}")), "{status:?}");
        assert!(told >= all.min(40), "{told} of {all}");
    }
}

#[tokio::test]
async fn clients_may_compress_and_what_is_unpacked_is_bounded() {
    let world = World::with_stock(&[(1, 7, 100)]).await;
    let loms = world.loms().await;
    let mut client =
        loms.client().send_compressed(CompressionEncoding::Gzip).accept_compressed(CompressionEncoding::Gzip);
    let stocks = client.stocks(StocksRequest { sku: 7 }).await.unwrap();
    assert_eq!(stocks.metadata().get("grpc-encoding").unwrap(), "gzip");
    assert_eq!(stocks.into_inner().stocks[0].count, 100);
    let bomb = CreateOrderRequest { idempotency_key: "k".repeat(16 * 1024 * 1024), ..order(user(), &[(7, 1)]) };
    assert_eq!(client.create_order(bomb).await.unwrap_err().code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn the_largest_request_is_accepted() {
    let world = World::with_stock(&[]).await;
    let loms = world.loms().await;
    // Nothing of it is in stock, which is found out only after the request was found good.
    let items: Vec<_> = (0..100).map(|index| (u32::MAX - index, 65_535)).collect();
    let request = CreateOrderRequest { idempotency_key: "k".repeat(128), ..order(i64::MAX, &items) };
    let status = create(&loms.client(), request).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let smallest = create(&loms.client(), order(1, &[(1, 1)])).await.unwrap_err();
    assert_eq!(smallest.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn every_number_beyond_its_bounds_is_a_violation() {
    let world = World::with_stock(&[(1, 7, 100)]).await;
    let loms = world.loms().await;
    let client = loms.client();
    for user in [0, -1, i64::MIN] {
        assert_eq!(fields(&client, order(user, &[(7, 1)])).await, ["user"]);
    }
    assert_eq!(fields(&client, order(user(), &[(0, 1)])).await, ["items[0].sku"]);
    for count in [0, 65_536, u32::MAX] {
        assert_eq!(fields(&client, order(user(), &[(7, 1), (7, count)])).await, ["items[1].count"]);
    }
    assert_eq!(fields(&client, order(user(), &[])).await, ["items"]);
    assert_eq!(fields(&client, order(user(), &[(7, 1); 101])).await, ["items"]);
    for key in ["k".repeat(129), "new\nline".into(), "ключ".into()] {
        let request = CreateOrderRequest { idempotency_key: key, ..order(user(), &[(7, 1)]) };
        assert_eq!(fields(&client, request).await, ["idempotency_key"]);
    }
    let status = client.clone().stocks(StocksRequest { sku: 0 }).await.unwrap_err();
    assert_eq!(violations(&status).into_keys().collect::<Vec<_>>(), ["sku"]);
    for order_id in [0, -1, i64::MIN] {
        let mut client = client.clone();
        let (list, pay, cancel) =
            (ListOrderRequest { order_id }, OrderPayedRequest { order_id }, CancelOrderRequest { order_id });
        let answers = [
            client.list_order(list).await.unwrap_err(),
            client.order_payed(pay).await.unwrap_err(),
            client.cancel_order(cancel).await.unwrap_err(),
        ];
        for status in answers {
            assert_eq!(violations(&status).into_keys().collect::<Vec<_>>(), ["orderID"]);
        }
    }
    assert_eq!(world.number("SELECT count(*) FROM orders").await, 0, "nothing is written for a bad request");
}

#[tokio::test]
async fn lines_of_one_sku_may_add_up_to_the_largest_count_and_no_further() {
    let world = World::with_stock(&[(1, 7, 65_535), (1, 8, 10)]).await;
    let loms = world.loms().await;
    let client = loms.client();
    let request = order(user(), &[(7, 65_535), (8, 1), (7, 1)]);
    let violations = violations(&create(&client, request).await.unwrap_err());
    assert_eq!(
        violations.into_iter().collect::<Vec<_>>(),
        [("items[2].count".into(), "brings the items of SKU 7 to 65536 units, the most is 65535".into())]
    );
    create(&client, order(user(), &[(7, 65_534), (8, 1), (7, 1)])).await.unwrap();
}

#[tokio::test]
async fn all_violations_are_reported_at_once() {
    let world = World::with_stock(&[]).await;
    let loms = world.loms().await;
    let request = CreateOrderRequest {
        idempotency_key: "\u{7f}".into(),
        ..order(-5, &[(0, 0), (7, 65_535), (7, 1), (8, 65_536), (0, 1), (9, 60_000), (9, 60_000)])
    };
    assert_eq!(
        fields(&loms.client(), request).await,
        [
            "idempotency_key",
            "items[0].count",
            "items[0].sku",
            "items[2].count",
            "items[3].count",
            "items[4].sku",
            "items[6].count",
            "user"
        ]
    );
}

#[tokio::test]
async fn an_enormous_request_is_refused_unread() {
    let world = World::with_stock(&[]).await;
    let loms = world.loms().await;
    let items = vec![OrderItem { sku: u32::MAX, count: 65_535 }; 20_000];
    let request = CreateOrderRequest { user: user(), items, idempotency_key: String::new() };
    let status = create(&loms.client(), request).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
}
