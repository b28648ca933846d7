//! What operators see of LOMS: probes, metrics, health, reflection, trace ids, and how it stops.

use chrono::{DateTime, Utc};
use platform::config::{FromText as _, PostgresUrl};
use proto::loms::StocksRequest;
use stack::testing::{PostgresProxy, eventually};
use tonic::{Code, Status, Streaming};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::world::{CERTS, Running, World, channel, create, order, user};

/// Asks the operators' port; answers the HTTP status and the text.
pub async fn probe(loms: &Running, path: &str) -> (u16, String) {
    let answer = reqwest::get(format!("http://{}/{path}", loms.admin)).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn a_loms_whose_postgres_only_reads_is_not_ready_and_serves_as_soon_as_it_writes() {
    let world = World::with_stock(&[(1, 7, 10)]).await;
    let name = world.database.pool.connect_options().get_database().unwrap().to_owned();
    // New sessions are like those of a standby. The test's own are older.
    let alter = async |setting: &str| world.execute(&format!("ALTER DATABASE {name} {setting}")).await.unwrap();
    alter("SET default_transaction_read_only = on").await;
    let loms = Running::begin(world.config()).await;
    eventually("it says why it is not ready", async || {
        (probe(&loms, "readyz").await == (503, "Postgres only reads\n".into())).then_some(())
    })
    .await;
    let refused = create(&loms.client(), order(user(), &[(7, 1)])).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");

    alter("RESET default_transaction_read_only").await;
    stack::testing::until_ready(loms.admin).await;
    let client = loms.client();
    let bought = || async { create(&client, order(user(), &[(7, 1)])).await.ok() };
    eventually("the connections that only read are left", bought).await;
}

#[tokio::test]
async fn postgres_is_asked_once_by_all_who_ask_within_a_second_whether_loms_is_ready() {
    let world = World::with_stock(&[]).await;
    let loms = world.loms().await;
    let asked_at = async || -> Option<DateTime<Utc>> {
        assert_eq!(probe(&loms, "readyz").await.0, 200);
        let query = "SELECT query_start FROM pg_stat_activity WHERE datname = current_database() \
                     AND query LIKE '%/* probe */' AND pid <> pg_backend_pid()";
        sqlx::query_scalar(query).fetch_optional(&world.database.pool).await.unwrap()
    };
    eventually("two answers to one question", async || {
        let first = asked_at().await?;
        (asked_at().await == Some(first)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn it_is_healthy_ready_and_describes_itself() {
    let world = World::with_stock(&[]).await;
    let loms = world.loms().await;
    loms.client().stocks(StocksRequest { sku: 7 }).await.unwrap();
    assert_eq!(probe(&loms, "livez").await.0, 200);
    assert_eq!(probe(&loms, "readyz").await.0, 200);

    let channel = channel(&loms.url(), CERTS.dir.path(), "client");
    for service in ["", "loms.Loms"] {
        let request = HealthCheckRequest { service: service.into() };
        let answer = HealthClient::new(channel.clone()).check(request).await.unwrap();
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
    }
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let answer = ServerReflectionClient::new(channel)
        .server_reflection_info(futures::stream::iter([request]))
        .await
        .unwrap()
        .into_inner()
        .message()
        .await
        .unwrap()
        .unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else { panic!("{answer:?}") };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    assert!(names.contains(&"loms.Loms".to_owned()), "{names:?}");
}

#[tokio::test]
async fn metrics_with_known_labels_are_there_before_anything_happens() {
    let world = World::with_stock(&[]).await;
    let loms = world.loms().await;
    let text = probe(&loms, "metrics").await.1;
    for metric in [
        "loms_order_transitions_total{from=\"new\",to=\"awaiting payment\"}",
        "loms_order_transitions_total{from=\"new\",to=\"failed\"}",
        "loms_order_transitions_total{from=\"awaiting payment\",to=\"paid\"}",
        "loms_order_transitions_total{from=\"awaiting payment\",to=\"cancelled\"}",
        "loms_units_total{change=\"reserved\"}",
        "postgres_transactions_total{outcome=\"committed\",transaction=\"change_orders\"}",
        "loms_refusals_total{reason=\"INSUFFICIENT_STOCK\"}",
        "loms_refusals_total{reason=\"ORDER_NOT_FOUND\"}",
        "loms_refusals_total{reason=\"ORDER_EXPIRED\"}",
        "loms_refusals_total{reason=\"ORDER_NOT_PAYABLE\"}",
        "loms_refusals_total{reason=\"ORDER_NOT_CANCELLABLE\"}",
        "loms_expiry_lag_seconds_count",
        "loms_outbox_events",
        "loms_outbox_oldest_age_seconds",
        "loms_events_published_total",
        "loms_event_publish_failures_total",
    ] {
        assert!(text.lines().any(|line| line.starts_with(metric)), "{metric} is missing");
    }
}

#[tokio::test]
async fn every_answer_names_its_trace_also_a_refusal() {
    let world = World::with_stock(&[]).await;
    let loms = world.loms().await;
    let answer = loms.client().stocks(StocksRequest { sku: 7 }).await.unwrap();
    assert_eq!(answer.metadata().get("x-trace-id").unwrap().len(), 32);
    let status = loms.client().stocks(StocksRequest { sku: 0 }).await.unwrap_err();
    assert_eq!(status.metadata().get("x-trace-id").unwrap().len(), 32);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_runs_when_loms_is_told_to_stop_is_answered() {
    let world = World::with_stock(&[(1, 7, 10)]).await;
    let loms = world.loms().await;
    let stock = world.lock_stock().await;
    let client = loms.client();
    let call = tokio::spawn(async move { create(&client, order(user(), &[(7, 1)])).await });
    world.until_blocked(1).await;
    loms.tell_to_stop();
    stack::testing::eventually("it is not ready any more", async || {
        (probe(&loms, "readyz").await == (503, "draining\n".to_owned())).then_some(())
    })
    .await;
    let late = loms.client().stocks(StocksRequest { sku: 7 }).await.unwrap_err();
    assert_eq!(late.code(), Code::Unavailable, "{late:?}");
    stock.rollback().await.unwrap();
    call.await.unwrap().expect("the call was accepted before");
    loms.stop().await;
    assert_eq!(world.stock_of(7).await, (10, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_watches_health_is_told_of_the_stop_and_does_not_hold_it_up() {
    let world = World::with_stock(&[]).await;
    let loms = world.loms().await;
    let mut watch = watch_health(&loms).await;
    watch.until(ServingStatus::Serving).await;
    loms.tell_to_stop();
    let end = watch.end().await;
    assert_eq!((end.code(), end.message()), (Code::Unavailable, "the service stops"));
    loms.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loms_that_starts_without_postgres_says_so_at_once_and_answers_when_it_comes() {
    let world = World::with_stock(&[(1, 7, 10)]).await;
    let proxy = PostgresProxy::start().await;
    proxy.cut();
    let mut config = world.config();
    config.service.postgres.connection_string = PostgresUrl::from_text(&proxy.url(&world.database.url)).unwrap();
    let loms = Running::begin(config).await;
    let mut watch = watch_health(&loms).await;
    watch.until(ServingStatus::NotServing).await;
    let mut client = loms.client();
    let status = client.stocks(StocksRequest { sku: 7 }).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "the service is starting; try again later"));

    proxy.mend();
    watch.until(ServingStatus::Serving).await;
    client.stocks(StocksRequest { sku: 7 }).await.unwrap();
    loms.tell_to_stop();
    let end = watch.end().await;
    assert_eq!((end.code(), end.message()), (Code::Unavailable, "the service stops"));
    loms.stop().await;
}

/// What health says from now on.
struct HealthWatch(Streaming<HealthCheckResponse>);

async fn watch_health(loms: &Running) -> HealthWatch {
    let channel = channel(&loms.url(), CERTS.dir.path(), "client");
    HealthWatch(HealthClient::new(channel).watch(HealthCheckRequest::default()).await.unwrap().into_inner())
}

impl HealthWatch {
    async fn until(&mut self, status: ServingStatus) {
        while self.0.message().await.unwrap().expect("the stream goes on").status() != status {}
    }

    async fn end(mut self) -> Status {
        loop {
            match self.0.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return Status::ok("ended"),
                Err(status) => return status,
            }
        }
    }
}
