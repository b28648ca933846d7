//! Shoppers buy things, and get messages about their orders.

use std::{collections::HashSet, process::Command};

use e2e::World;
use futures::future::join_all;
use proto::{
    cart::{AddToCartRequest, ListCartRequest, PurchaseRequest},
    loms::{OrderPayedRequest, StocksRequest},
};
use serde_json::Value;
use stack::fleet::Service;
use stack::testing::eventually;
use tonic_types::StatusExt as _;

/// A SKU with more units than the tests need.
const PLENTY: u32 = 1212;
/// A SKU with ten units.
const TEN_LEFT: u32 = 1412;

pub async fn the_story_of_the_demo_holds_at_both_doors(world: &World) {
    let told = tell(world, &[]).await;
    let lookup = told.lines().map(str::trim).find(|line| line.starts_with("grep -h ")).unwrap();
    let lines = Command::new("sh").args(["-c", lookup]).output().unwrap();
    let lines = String::from_utf8_lossy(&lines.stdout);
    for service in Service::ALL.map(Service::name) {
        assert!(lines.contains(&format!("\"service\":\"{service}\"")), "{lookup}\n{lines}");
    }

    let over_http = tell(world, &["--json"]).await;
    assert!(over_http.contains(r#"◂ 400 {"code":9,"message":"#), "a refusal as that door tells it: {over_http}");
    let chapters = |story: &str| story.matches("──\n").count();
    assert_eq!(chapters(&over_http), chapters(&told), "the same story: {over_http}");
    let calls = over_http.lines().filter_map(|line| line.trim().strip_prefix("▸ curl"));
    let can_be_repeated = |call: &&str| ["/listCart", "/stocks", "/history"].iter().any(|path| call.contains(path));
    let calls: Vec<_> = calls.filter(can_be_repeated).collect();
    assert!(calls.len() > 5, "{over_http}");
    for call in calls {
        let output = Command::new("sh").arg("-c").arg(format!("curl --silent --show-error{call}")).output().unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{call}: {output:?}"));
        assert_eq!(answer.get("code"), None, "{call}: {answer}");
    }
}

/// The story with these options, which comes to its good end.
async fn tell(world: &World, options: &'static [&str]) -> String {
    let stack = stack::binaries::find("stack").unwrap();
    let mut demo = Command::new(stack);
    demo.arg("demo").arg("--state-dir").arg(world.state()).args(options);
    let output = tokio::task::spawn_blocking(move || demo.output()).await.unwrap().unwrap();
    let story = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{story}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(story.contains("everything happened as it should"), "{story}");
    story
}

pub async fn a_purchase_is_told_in_the_history_and_by_telegram_in_the_order_of_its_statuses(world: &World) {
    let user = world.shopper();
    let order = buy(world, user, PLENTY).await;
    world.loms().unwrap().order_payed(OrderPayedRequest { order_id: order }).await.unwrap();

    let messages = eventually("three statuses are in the history", || async {
        let messages = world.history(user).await.unwrap();
        (messages.len() == 3).then_some(messages)
    })
    .await;
    let statuses: Vec<_> = messages.iter().map(|message| message.status.as_str()).collect();
    assert_eq!(statuses, ["new", "awaiting payment", "paid"]);
    assert!(messages.iter().all(|message| message.order_id == order && message.user_id == user));

    let texts: Vec<_> = messages.into_iter().map(|message| message.message).collect();
    eventually("Telegram has all three in that order", || async {
        let received = world.told().await.unwrap();
        let ours: Vec<_> = received.into_iter().filter(|text| texts.contains(text)).collect();
        (ours == texts).then_some(())
    })
    .await;
}

pub async fn sixty_four_shoppers_for_the_last_ten_units_make_exactly_ten_orders(world: &World) {
    let shoppers: Vec<_> = (0..64).map(|_| world.shopper()).collect();
    let checkout = world.checkout().unwrap();
    for &user in &shoppers {
        checkout.clone().add_to_cart(AddToCartRequest { user, sku: TEN_LEFT, count: 1 }).await.unwrap();
    }
    // All purchases need the same rows at once. A refusal because of load has no reason, and the shopper clicks again.
    let purchases = shoppers.iter().map(|&user| {
        let checkout = &checkout;
        eventually("the purchase is answered", move || async move {
            let purchase = PurchaseRequest { user, idempotency_key: format!("last-{user}") };
            match checkout.clone().purchase(purchase).await {
                Ok(answer) => Some(Ok(answer.into_inner().order_id)),
                Err(status) => status.get_details_error_info().map(|info| Err(info.reason)),
            }
        })
    });
    let outcomes = join_all(purchases).await;

    let orders: HashSet<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
    assert_eq!(orders.len(), 10);
    let refusals: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert_eq!(refusals, vec!["INSUFFICIENT_STOCK"; 54]);
    for (user, outcome) in shoppers.iter().zip(&outcomes) {
        let cart = checkout.clone().list_cart(ListCartRequest { user: *user }).await.unwrap().into_inner();
        assert_eq!(cart.items.len(), usize::from(outcome.is_err()), "the cart of a refused shopper is as it was");
    }
    let stocks = world.loms().unwrap().stocks(StocksRequest { sku: TEN_LEFT }).await.unwrap().into_inner();
    assert!(stocks.stocks.is_empty());
}

/// Buys one unit. Returns the order, which awaits payment.
pub async fn buy(world: &World, user: i64, sku: u32) -> i64 {
    let mut checkout = world.checkout().unwrap();
    checkout.add_to_cart(AddToCartRequest { user, sku, count: 1 }).await.unwrap();
    let purchase = PurchaseRequest { user, idempotency_key: String::new() };
    checkout.purchase(purchase).await.unwrap().into_inner().order_id
}
