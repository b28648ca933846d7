//! The page of checkout's document, in a browser.

use e2e::World;
use serde_json::{Value, json};
use stack::testing::eventually;
use thirtyfour::prelude::*;

use crate::chromium::Chromium;

/// A SKU with more units than the test needs.
const PLENTY: u32 = 1212;

/// Makes a call by the page, with the keyboard alone. Returns the status and the body that the page shows.
async fn call(driver: &WebDriver, operation: &str, request: &Value) -> (String, Value) {
    let find = async |selector: &str| {
        let selector = format!("#operations-Cart-{operation} {selector}");
        driver.query(By::Css(selector)).and_displayed().first().await.unwrap()
    };
    find(".opblock-summary-control").await.send_keys(Key::Enter).await.unwrap();
    let body = find("textarea.body-param__text").await;
    body.send_keys(Key::Control + "a").await.unwrap();
    body.send_keys(request.to_string()).await.unwrap();
    find("button.execute").await.send_keys(Key::Enter).await.unwrap();
    let status = find(".live-responses-table tbody .response-col_status").await.text().await.unwrap();
    let body = find(".live-responses-table tbody .response-col_description pre").await.text().await.unwrap();
    (status.lines().next().unwrap_or_default().to_owned(), serde_json::from_str(&body).expect(&body))
}

async fn ask(driver: &WebDriver, script: &str) -> Value {
    driver.execute(format!("return {script};"), Vec::new()).await.unwrap().json().clone()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Chromium: make test-browser"]
async fn a_cart_is_filled_and_shown_through_the_page_of_the_document_which_loads_nothing_from_elsewhere() {
    let world = World::start().await.unwrap();
    let chromium = Chromium::start().await;
    let driver = &chromium.driver;
    let origin = world.addresses.checkout.http_url();
    driver.goto(format!("{origin}/docs")).await.unwrap();
    let user = world.shopper();

    let added = json!({ "user": user, "sku": PLENTY, "count": 2 });
    assert_eq!(call(driver, "AddToCart", &added).await, ("200".into(), json!({})));
    let (status, cart) = call(driver, "ListCart", &json!({ "user": user })).await;
    assert_eq!(
        (status.as_str(), &cart["items"][0]["sku"], &cart["items"][0]["count"]),
        ("200", &json!(PLENTY), &json!(2))
    );
    let (status, refusal) = call(driver, "DeleteFromCart", &json!({ "user": user, "sku": 1, "count": 1 })).await;
    assert_eq!((status.as_str(), &refusal["code"]), ("404", &json!(5)));

    assert_eq!(driver.title().await.unwrap(), "cart.Cart");
    let loaded = ask(driver, "performance.getEntriesByType('resource').map(entry => entry.name)").await;
    let loaded = loaded.as_array().unwrap();
    assert!(loaded.len() >= 8, "{loaded:?}");
    let own = format!("{origin}/");
    assert!(loaded.iter().all(|url| url.as_str().unwrap().starts_with(&own)), "{loaded:?}");
    let complaints = chromium.complaints().await;
    // The refusal is one.
    assert!(complaints.iter().all(|complaint| complaint.contains("/deleteFromCart")), "{complaints:#?}");

    // It fits on a telephone, and follows what the reader prefers.
    let emulate = async |command: &str, parameters: Value| driver.cdp().send_raw(command, parameters).await.unwrap();
    let metrics = json!({ "width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": true });
    emulate("Emulation.setDeviceMetricsOverride", metrics).await;
    assert_eq!(ask(driver, "[innerWidth, document.documentElement.scrollWidth]").await, json!([360, 360]));
    let is_dark = "document.documentElement.classList.contains('dark-mode')";
    for (scheme, dark) in [("dark", true), ("light", false)] {
        let preference = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        emulate("Emulation.setEmulatedMedia", preference).await;
        let what = format!("the page is {scheme}");
        eventually(&what, async || (ask(driver, is_dark).await == json!(dark)).then_some(())).await;
    }
    chromium.stop().await;
    world.stop().await;
}
