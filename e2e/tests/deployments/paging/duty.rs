//! Those on duty: an Alertmanager, and receivers of its pages and tickets.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use axum::{Json, Router, extract::State, routing::post};
use serde_json::{Map, Value, json};
use stack::{
    alertmanager::{self, Alertmanager, Receivers},
    ports,
    testing::eventually,
};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::files::{self, path, text};

type Told = Arc<Mutex<Vec<Value>>>;

/// Writes a configuration as the container does, with these variables.
pub fn configured(variables: &[(&str, &str)], directory: &Path) -> anyhow::Result<PathBuf> {
    let value = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into());
    alertmanager::configure(&path("deployments/config/alertmanager/configure.sh"), &Receivers::read(value), directory)
}

/// An alert of the rules with these labels, as Prometheus sends it when it fires.
pub fn alert(name: &str, labels: &[(&str, &str)]) -> Value {
    let rules = files::alerts();
    let rule = rules.iter().find(|rule| rule.alert() == Some(name)).unwrap_or_else(|| panic!("no alert {name}"));
    let mut all = Map::from_iter([("alertname".into(), name.into())]);
    all.insert("severity".into(), rule.json["labels"]["severity"].clone());
    all.extend(labels.iter().map(|(label, value)| ((*label).to_owned(), json!(value))));
    let filled = |template: &Value| {
        let filled = labels.iter().fold(text(template).to_owned(), |template, (label, value)| {
            template.replace(&format!("{{{{ $labels.{label} }}}}"), value)
        });
        json!(filled)
    };
    let annotations = rule.json["annotations"].as_object().unwrap();
    let annotations: Map<_, _> = annotations.iter().map(|(key, template)| (key.clone(), filled(template))).collect();
    json!({ "labels": all, "annotations": annotations })
}

pub struct Duty {
    alertmanager: Alertmanager,
    pages: Told,
    tickets: Told,
    _directory: TempDir,
}

impl Duty {
    /// With a webhook for pages, and one for tickets.
    pub async fn start() -> Self {
        Self::start_with(&[], |_| {}).await
    }

    /// With receivers that variables name besides, and a configuration that is changed. It waits shorter than usual, and
    /// for causes still shorter than for what follows from them.
    pub async fn start_with(variables: &[(&str, &str)], change: impl FnOnce(&mut Value)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (pages, tickets) = (Told::default(), Told::default());
        let [page, ticket] = [listen(&pages).await, listen(&tickets).await];
        let webhooks = [("ALERTS_PAGE_WEBHOOK_URL", page.as_str()), ("ALERTS_TICKET_WEBHOOK_URL", ticket.as_str())];
        let file = configured(&[variables, &webhooks].concat(), directory.path()).unwrap();
        let mut config = files::yaml(&file);
        let [causes, others] = ["0s", "1s"];
        config["route"]["group_wait"] = others.into();
        for route in config["route"]["routes"].as_array_mut().unwrap() {
            let is_of_causes = route["group_wait"] == "10s";
            route["group_wait"] = if is_of_causes { causes } else { others }.into();
        }
        change(&mut config);
        fs::write(&file, config.to_string()).unwrap();
        let alertmanager = Alertmanager::start(&file, directory.path(), ports::free().unwrap()).await.unwrap();
        Self { alertmanager, pages, tickets, _directory: directory }
    }

    pub fn url(&self) -> String {
        self.alertmanager.url()
    }

    pub async fn post(&self, alerts: &[Value]) {
        self.alertmanager.post(&json!(alerts)).await.unwrap();
    }

    pub async fn alerts(&self) -> Vec<Value> {
        self.alertmanager.alerts().await.unwrap()
    }

    /// Waits for a page about this alert.
    pub async fn page(&self, alert: &str) -> Value {
        wait_for(&self.pages, alert).await
    }

    /// Waits for a ticket about this alert.
    pub async fn ticket(&self, alert: &str) -> Value {
        wait_for(&self.tickets, alert).await
    }

    /// The alerts of all pages so far.
    pub fn pages(&self) -> Vec<String> {
        names(&self.pages)
    }

    /// The alerts of all tickets so far.
    pub fn tickets(&self) -> Vec<String> {
        names(&self.tickets)
    }

    pub async fn stop(self) {
        self.alertmanager.stop().await;
    }
}

/// Starts a webhook that notes what it is told, and returns its address.
async fn listen(told: &Told) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let note = async |State(told): State<Told>, Json(message): Json<Value>| told.lock().unwrap().push(message);
    let router = Router::new().route("/", post(note)).with_state(Arc::clone(told));
    tokio::spawn(async { axum::serve(listener, router).await });
    format!("http://{address}/")
}

async fn wait_for(told: &Told, alert: &str) -> Value {
    eventually(&format!("somebody is told of {alert}"), || async {
        told.lock().unwrap().iter().find(|message| message["groupLabels"]["alertname"] == alert).cloned()
    })
    .await
}

fn names(told: &Told) -> Vec<String> {
    told.lock().unwrap().iter().map(|message| text(&message["groupLabels"]["alertname"]).to_owned()).collect()
}
