//! Alerts reach people: a real Alertmanager with the configuration of `deployments/`, told of alerts as Prometheus tells
//! it, and stand-ins for those who are paged.

mod duty;
mod inhibition;

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use serde_json::{Value, json};
use stack::{alertmanager, ports, telegram::Telegram, testing::eventually};

use crate::{
    compose::Compose,
    files::{self, path, text},
};
use duty::{Duty, alert, configured};

const TELEGRAM: [(&str, &str); 2] =
    [("ALERTS_TELEGRAM_API_KEY", "12345:very-secret"), ("ALERTS_TELEGRAM_CHAT_ID", "-100123")];
const WEBHOOKS: [(&str, &str); 2] = [
    ("ALERTS_PAGE_WEBHOOK_URL", "https://pager.example/v1?key=very-secret&x=%7B"),
    ("ALERTS_TICKET_WEBHOOK_URL", "http://tickets.example:8080/"),
];

/// Runs amtool, which must succeed, and returns what it prints.
fn amtool(arguments: &[&str]) -> String {
    let tools = alertmanager::tools().unwrap();
    let output = Command::new(tools.amtool).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_configuration_is_valid_with_any_receivers_and_without_any() {
    amtool(&["check-config", path("deployments/config/alertmanager/alertmanager.yml").to_str().unwrap()]);
    for variables in [&[][..], &TELEGRAM, &WEBHOOKS, &WEBHOOKS[..1], &[TELEGRAM, WEBHOOKS].concat()] {
        let directory = tempfile::tempdir().unwrap();
        let file = configured(variables, directory.path()).unwrap();
        amtool(&["check-config", file.to_str().unwrap()]);
        let receivers = files::list(&files::yaml(&file)["receivers"]);
        for (receiver, webhook) in [("page", WEBHOOKS[0]), ("ticket", WEBHOOKS[1])] {
            let receiver = receivers.iter().find(|other| other["name"] == receiver).unwrap();
            let expected = variables.contains(&webhook).then_some(webhook.1);
            assert_eq!(receiver["webhook_configs"][0]["url"].as_str(), expected);
            let expected = variables.contains(&TELEGRAM[0]).then_some(TELEGRAM[0].1);
            assert_eq!(receiver["telegram_configs"][0]["bot_token"].as_str(), expected);
        }
    }
}

#[test]
fn variables_of_no_use_are_refused_by_name_and_never_shown() {
    let directory = tempfile::tempdir().unwrap();
    for (variables, name) in [
        (&TELEGRAM[..1], "ALERTS_TELEGRAM_CHAT_ID"),
        (&TELEGRAM[1..], "ALERTS_TELEGRAM_API_KEY"),
        (&[TELEGRAM[0], ("ALERTS_TELEGRAM_CHAT_ID", "@very-secret")], "ALERTS_TELEGRAM_CHAT_ID"),
        (&[("ALERTS_TELEGRAM_API_KEY", "very-secret'\n"), TELEGRAM[1]], "ALERTS_TELEGRAM_API_KEY"),
        (&[("ALERTS_PAGE_WEBHOOK_URL", "very-secret.example")], "ALERTS_PAGE_WEBHOOK_URL"),
        (&[("ALERTS_TICKET_WEBHOOK_URL", "https://very-secret.example/'")], "ALERTS_TICKET_WEBHOOK_URL"),
    ] {
        let error = configured(variables, directory.path()).unwrap_err().to_string();
        assert!(error.contains(name) && !error.contains("very-secret"), "{variables:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn the_committed_configuration_has_no_secrets_and_the_written_one_is_its_owners_alone() {
    let committed = files::yaml(&path("deployments/config/alertmanager/alertmanager.yml"));
    assert_eq!(committed["receivers"], json!([{ "name": "page" }, { "name": "ticket" }]));
    let directory = tempfile::tempdir().unwrap();
    let file = configured(&TELEGRAM, directory.path()).unwrap();
    let mode = fs::metadata(file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // In a container it is in memory, at a place that stays its user's at every start of the container.
    let container = &Compose::both().services["alertmanager"];
    let entrypoint = container.list("entrypoint");
    let [_, script, file, _] = &entrypoint[..] else { panic!("{entrypoint:?}") };
    assert_eq!(script, "/etc/alertmanager/configure.sh");
    assert!(container.mounts().iter().any(|mount| mount.source == "./config/alertmanager"), "where the script is");
    let place = Path::new(file).parent().unwrap().to_str().unwrap();
    let memory = container.list("tmpfs");
    assert!(memory[0].starts_with(&format!("{place}:uid=")), "{memory:?}");
    assert!(container.list("command").contains(&format!("--config.file={file}")));
}

#[test]
fn every_alert_is_told_to_whom_its_severity_says() {
    let directory = tempfile::tempdir().unwrap();
    let file = configured(&[], directory.path()).unwrap();
    let mut told = BTreeSet::new();
    for rule in files::alerts() {
        let severity = text(&rule.json["labels"]["severity"]);
        let labels = [format!("alertname={}", rule.alert().unwrap()), format!("severity={severity}")];
        let [name, of_severity] = &labels;
        let receiver =
            amtool(&["config", "routes", "test", "--config.file", file.to_str().unwrap(), name, of_severity]);
        assert_eq!(receiver.trim(), severity, "{labels:?}");
        told.insert(severity.to_owned());
    }
    assert_eq!(told.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_comes_once_and_says_what_whoever_is_woken_needs() {
    let duty = Duty::start().await;
    let exhausted =
        |pool: &str| alert("PostgresPoolExhausted", &[("job", "loms"), ("instance", "loms:8181"), ("pool", pool)]);
    let lagging = alert("ConsumerLagging", &[("job", "notifications")]);
    duty.post(&[exhausted("writes"), exhausted("reads"), lagging]).await;
    let page = duty.page("PostgresPoolExhausted").await;
    assert_eq!(page["status"], "firing");
    assert_eq!(page["commonLabels"]["severity"], "page");
    assert_eq!(page["commonLabels"]["job"], "loms");
    assert_eq!(page["commonAnnotations"]["runbook_url"], "docs/runbook.md#postgrespoolexhausted");
    assert_eq!(page["commonAnnotations"]["dashboard"], "/d/route256-loms");
    let alerts = files::list(&page["alerts"]);
    assert_eq!(alerts.len(), 2, "{page:#}");
    for alert in &alerts {
        let pool = text(&alert["labels"]["pool"]);
        let summary = format!("loms gets no connection to its database for {pool}.");
        assert_eq!(alert["annotations"]["summary"], summary);
        assert!(text(&alert["annotations"]["description"]).len() > 10);
    }
    assert!(text(&page["externalURL"]).starts_with("http://127.0.0.1:"), "where it can be silenced: {page:#}");

    let ticket = duty.ticket("ConsumerLagging").await;
    assert_eq!(ticket["commonLabels"]["severity"], "ticket");
    assert_eq!(duty.pages(), ["PostgresPoolExhausted"], "what the day shift is soon enough for wakes nobody");
    assert_eq!(duty.tickets(), ["ConsumerLagging"]);
    duty.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_telegram_chat_is_told_what_is_wrong_and_where_to_read_on() {
    let telegram = Telegram::start(ports::loopback(0), Some(TELEGRAM[0].1.to_owned())).unwrap();
    let duty = Duty::start_with(&TELEGRAM, |config| {
        for receiver in config["receivers"].as_array_mut().unwrap() {
            receiver["telegram_configs"][0]["api_url"] = json!(telegram.url());
        }
    })
    .await;
    duty.post(&[alert("ServiceDown", &[("job", "loms")]), alert("LogsLost", &[("job", "loms")])]).await;
    let messages =
        eventually("both are told", || async { Some(telegram.messages()).filter(|messages| messages.len() == 2) })
            .await;
    let of = |name: &str| messages.iter().find(|message| message.text.contains(name)).unwrap();
    let page = of("ServiceDown");
    assert_eq!(page.chat_id, json!(-100_123));
    let url = duty.url();
    let description = text(&alert("ServiceDown", &[("job", "loms")])["annotations"]["description"]).to_owned();
    assert_eq!(
        page.text,
        format!(
            "PAGE: ServiceDown\n\nNo process of loms answers Prometheus. {description}\n\n\
             docs/runbook.md#servicedown\n{url}"
        )
    );
    assert!(of("LogsLost").text.starts_with("TICKET: LogsLost\n\nGraylog misses log lines of loms. "));
    duty.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_chat_and_a_webhook_alerts_are_seen_in_alertmanager_and_nothing_fails() {
    let duty = Duty::start_with(&[], |config| {
        let committed = files::yaml(&path("deployments/config/alertmanager/alertmanager.yml"));
        config["receivers"] = committed["receivers"].clone();
    })
    .await;
    duty.post(&[alert("ServiceDown", &[("job", "checkout")])]).await;
    let seen: Vec<Value> = duty.alerts().await;
    assert_eq!(seen[0]["labels"]["alertname"], "ServiceDown");
    assert_eq!(seen[0]["receivers"], json!([{ "name": "page" }]));
    duty.stop().await;
}
