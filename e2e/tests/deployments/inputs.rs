//! Runs the script that creates Graylog's inputs against a stand-in for Graylog's API.

use std::{
    process::{Command, Output},
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::get,
};
use serde_json::{Value, json};
use stack::packages;
use tokio::net::TcpListener;

use crate::files::path;

/// The header for the user `admin` with the password `secret`.
const AUTHORIZATION: &str = "Basic YWRtaW46c2VjcmV0";

type Inputs = Arc<Mutex<Vec<Value>>>;

async fn list(State(inputs): State<Inputs>, headers: HeaderMap) -> Result<Json<Value>, StatusCode> {
    authorize(&headers)?;
    let inputs = inputs.lock().unwrap();
    // Graylog lists the `configuration` of an input as its `attributes`.
    let listed = inputs.iter().map(|input| json!({ "title": input["title"], "attributes": input["configuration"] }));
    Ok(Json(json!({ "inputs": listed.collect::<Vec<_>>(), "total": inputs.len() })))
}

async fn create(
    State(inputs): State<Inputs>,
    headers: HeaderMap,
    Json(input): Json<Value>,
) -> Result<StatusCode, StatusCode> {
    authorize(&headers)?;
    inputs.lock().unwrap().push(input);
    Ok(StatusCode::CREATED)
}

/// Graylog also wants the header X-Requested-By.
fn authorize(headers: &HeaderMap) -> Result<(), StatusCode> {
    match (headers.get("authorization"), headers.get("x-requested-by")) {
        (Some(authorization), Some(_)) if authorization == AUTHORIZATION => Ok(()),
        (Some(_), Some(_)) => Err(StatusCode::UNAUTHORIZED),
        (_, None) | (None, _) => Err(StatusCode::BAD_REQUEST),
    }
}

/// Runs the script as the container does.
async fn run(api: &str, password: &str) -> Output {
    packages::program("curl", "curl", "install curl").unwrap();
    let mut command = Command::new("/bin/sh");
    command.arg(path("deployments/config/graylog/inputs.sh"));
    command.env("GRAYLOG_API", api).env("GRAYLOG_ROOT_PASSWORD", password);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_global_gelf_input_is_created_for_each_service_once_and_never_with_a_wrong_password() {
    let inputs = Inputs::default();
    let router = Router::new().route("/api/system/inputs", get(list).post(create)).with_state(Arc::clone(&inputs));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = format!("http://{}/api", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, router).await });

    let refused = run(&api, "wrong").await;
    assert!(!refused.status.success());
    let complaint = String::from_utf8(refused.stderr).unwrap();
    assert!(complaint.contains("GRAYLOG_ROOT_PASSWORD is not the password"), "{complaint}");
    assert!(inputs.lock().unwrap().is_empty());

    // An input that was made by hand stays as it is.
    let by_hand = json!({ "title": "LOMS", "configuration": { "port": 12202, "bind_address": "0.0.0.0" } });
    inputs.lock().unwrap().push(by_hand.clone());
    for _ in 0..2 {
        let output = run(&api, "secret").await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let inputs = inputs.lock().unwrap();
    let [made_by_hand, created @ ..] = &inputs[..] else { panic!("no inputs") };
    assert_eq!(*made_by_hand, by_hand);
    let ports: Vec<_> = created.iter().map(|input| (&input["title"], &input["configuration"]["port"])).collect();
    assert_eq!(ports, [(&json!("checkout"), &json!(12201)), (&json!("notifications"), &json!(12203))]);
    for input in created {
        assert_eq!(input["type"], "org.graylog2.inputs.gelf.tcp.GELFTCPInput");
        assert_eq!(input["global"], true);
        assert_eq!(input["configuration"]["use_null_delimiter"], true);
        assert_eq!(input["configuration"]["bind_address"], "0.0.0.0");
    }
}
