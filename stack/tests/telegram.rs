//! The stand-in for Telegram's Bot API.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use stack::{ports, telegram::Telegram};

struct World {
    telegram: Telegram,
    client: Client,
}

impl World {
    fn new() -> Self {
        Self { telegram: Telegram::start(ports::loopback(0), Some("local".into())).unwrap(), client: Client::new() }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.telegram.url())
    }

    async fn send(&self, body: Value) -> (StatusCode, Value) {
        let response = self.client.post(self.url("/botlocal/sendMessage")).json(&body).send().await.unwrap();
        (response.status(), response.json().await.unwrap())
    }

    async fn fault(&self, body: Value) -> StatusCode {
        self.client.post(self.url("/faults")).json(&body).send().await.unwrap().status()
    }
}

fn refusal(code: u16, description: &str) -> (StatusCode, Value) {
    let body = json!({ "ok": false, "error_code": code, "description": description });
    (StatusCode::from_u16(code).unwrap(), body)
}

#[tokio::test]
async fn messages_are_accepted_and_listed() {
    let world = World::new();
    let (status, answer) = world.send(json!({ "chat_id": 256, "text": "order 1 is paid" })).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["ok"], json!(true));
    assert_eq!(answer["result"]["chat"]["id"], json!(256));
    assert_eq!(answer["result"]["text"], json!("order 1 is paid"));

    let form = world
        .client
        .post(world.url("/botlocal/sendMessage"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body("chat_id=257&text=order+2+is+paid");
    assert_eq!(form.send().await.unwrap().status(), StatusCode::OK);

    let list: Value = world.client.get(world.url("/messages")).send().await.unwrap().json().await.unwrap();
    assert_eq!(list[0]["text"], json!("order 1 is paid"));
    assert_eq!(list[1]["chat_id"], json!(257));
    assert!(list[1]["at"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().is_ok());
    assert_eq!(world.telegram.messages().len(), 2);
}

#[tokio::test]
async fn what_the_real_one_refuses_is_refused() {
    let world = World::new();
    assert_eq!(
        world.send(json!({ "chat_id": 256, "text": " " })).await,
        refusal(400, "Bad Request: message text is empty")
    );
    assert_eq!(world.send(json!({ "text": "to nobody" })).await, refusal(400, "Bad Request: chat_id is empty"));
    assert_eq!(
        world.send(json!({ "chat_id": 256, "text": "x".repeat(4097) })).await,
        refusal(400, "Bad Request: message is too long")
    );
    assert_eq!(world.send(json!({ "chat_id": 256, "text": "x".repeat(4096) })).await.0, StatusCode::OK);

    let foreign = world.client.post(world.url("/botguess/sendMessage")).json(&json!({ "chat_id": 1, "text": "x" }));
    assert_eq!(foreign.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let unknown = world.client.post(world.url("/botlocal/sendSmoke")).send().await.unwrap();
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    assert_eq!(world.telegram.messages().len(), 1);
}

#[tokio::test]
async fn faults_last_as_long_as_asked() {
    let world = World::new();
    let message = || json!({ "chat_id": 256, "text": "x" });
    assert_eq!(world.fault(json!({ "status": 429, "retry_after": 2, "times": 2 })).await, StatusCode::NO_CONTENT);
    for _ in 0..2 {
        let (status, answer) = world.send(message()).await;
        assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
        let expected = json!({
            "ok": false, "error_code": 429, "description": "Too Many Requests: retry after 2",
            "parameters": { "retry_after": 2 },
        });
        assert_eq!(answer, expected);
    }
    assert_eq!(world.send(message()).await.0, StatusCode::OK);

    // As `curl -d` sends it.
    let form = world.client.post(world.url("/faults")).header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(form.body(r#"{"status": 403}"#).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(world.send(message()).await.0, StatusCode::FORBIDDEN);

    world.fault(json!({ "status": 500, "times": 1000 })).await;
    assert_eq!(world.send(message()).await, refusal(500, "Internal Server Error"));
    world.client.delete(world.url("/faults")).send().await.unwrap();
    assert_eq!(world.send(message()).await.0, StatusCode::OK);
    assert_eq!(world.telegram.messages().len(), 2);
}

#[tokio::test]
async fn it_can_hang() {
    let world = World::new();
    world.fault(json!({ "hang": true })).await;
    let request = world.client.post(world.url("/botlocal/sendMessage")).timeout(Duration::from_millis(100));
    assert!(request.json(&json!({ "chat_id": 1, "text": "x" })).send().await.unwrap_err().is_timeout());
    assert_eq!(world.send(json!({ "chat_id": 1, "text": "x" })).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_fault_that_makes_no_sense_is_refused() {
    let world = World::new();
    assert_eq!(world.fault(json!({ "status": 42 })).await, StatusCode::BAD_REQUEST);
    assert_eq!(world.fault(json!({ "staus": 429 })).await, StatusCode::BAD_REQUEST);
}
