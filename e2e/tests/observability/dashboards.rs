//! Grafana's dashboards: their queries have answers, and their links lead somewhere.

mod files;
mod links;
mod load;
mod monitored;

use std::collections::BTreeSet;

use files::{Dashboard, dashboards, data_sources, text};
use links::{Search, filled_in};
use monitored::MonitoredWorld;
use serde_json::{Value, json};
use stack::testing::eventually;

use crate::world::TracedWorld;

/// The width of Grafana's grid.
const COLUMNS: u64 = 24;

/// This has a fleet of its own, in which Telegram fails and orders expire within seconds.
pub async fn every_query_of_every_panel_answers_and_every_link_leads_to_traces(_: &TracedWorld) {
    let world = MonitoredWorld::start().await;
    load::make(&world.fleet).await;
    for dashboard in dashboards() {
        variables_have_values(&world, &dashboard).await;
        for panel in dashboard.panels() {
            let mut series = Vec::new();
            // Each alternative is asked alone, because another one would hide that its metric is missing.
            for query in panel.queries().into_iter().flat_map(|query| query.split(" or ")) {
                let query = dashboard.resolved(query.trim_start_matches("on () "));
                let answer = || async { Some(world.ask(&query).await).filter(|answer| !answer.is_empty()) };
                series.extend(eventually(&format!("{} has an answer to {query}", panel.name), answer).await);
            }
            for link in panel.links() {
                leads_somewhere(&world, &panel.name, link, &series).await;
            }
        }
        for link in dashboard.json["links"].as_array().unwrap().iter().filter(|link| link["type"] == "link") {
            leads_somewhere(&world, &dashboard.name, text(&link["url"]), &[json!({ "metric": {} })]).await;
        }
    }
    spans_lead_to_metrics(&world).await;
    world.stop().await;
}

async fn variables_have_values(world: &MonitoredWorld, dashboard: &Dashboard) {
    for (name, query, _) in dashboard.variables() {
        let inner = query.strip_prefix("label_values(").and_then(|query| query.strip_suffix(')')).unwrap();
        let (selector, label) = inner.rsplit_once(", ").unwrap();
        let series = world.ask(selector).await;
        assert!(series.iter().any(|series| series["metric"][label].is_string()), "{}, {name}: {query}", dashboard.name);
    }
}

/// A link to a dashboard must be right for every series. A link to traces must find spans for one series at least,
/// because the test does not call every method.
async fn leads_somewhere(world: &MonitoredWorld, from: &str, link: &str, series: &[Value]) {
    let links: BTreeSet<_> = series.iter().map(|series| filled_in(link, &series["metric"])).collect();
    if link.starts_with("/d/") {
        let known: Vec<_> = dashboards().iter().map(|other| format!("/d/{}?", text(&other.json["uid"]))).collect();
        assert!(links.iter().all(|link| known.iter().any(|known| link.starts_with(known))), "{from}: {links:?}");
        return;
    }
    let searches: Vec<_> = links.iter().map(|link| Search::parse(link)).collect();
    let wrong: Vec<_> = searches.iter().filter(|search| search.is_of_an_unknown_rpc()).collect();
    assert!(wrong.is_empty(), "{from} leads to {wrong:?}");
    let found = || async {
        let spans = world.collector.spans();
        searches.iter().any(|search| search.may_find(&spans)).then_some(())
    };
    eventually(&format!("{from} leads to a trace by {searches:?}"), found).await;
}

/// The queries that Grafana's data source for Jaeger offers for a span.
async fn spans_lead_to_metrics(world: &MonitoredWorld) {
    let jaeger = &data_sources()["jaeger"];
    for query in jaeger["jsonData"]["tracesToMetrics"]["queries"].as_array().unwrap() {
        let query = text(&query["query"]).replace("$$", "$");
        let query_for = |span: &str| query.replace("${__span.name}", span).replace("[1m]", "[5m]");
        let (call, transaction) = (query_for("cart.Cart/Purchase"), query_for("transaction change_carts"));
        let answers = || async {
            let found = [world.ask(&call).await, world.ask(&transaction).await];
            // Each query is for one kind of span: calls or transactions.
            (found.iter().filter(|series| !series.is_empty()).count() == 1).then_some(())
        };
        eventually(&format!("{query} has an answer"), answers).await;
    }
}

pub async fn every_panel_has_a_place_a_title_and_a_word_on_what_it_means(_: &TracedWorld) {
    for dashboard in dashboards() {
        let places: Vec<_> = dashboard.places().iter().map(|panel| (text(&panel["title"]), place(panel))).collect();
        for (index, (title, [x, y, w, h])) in places.iter().enumerate() {
            assert!(*w > 0 && *h > 0 && x + w <= COLUMNS, "{}: {title} is on the grid", dashboard.name);
            for (other, [left, top, width, height]) in &places[..index] {
                let is_apart = x + w <= *left || left + width <= *x || y + h <= *top || top + height <= *y;
                assert!(is_apart, "{}: {title} lies on {other}", dashboard.name);
            }
        }
        let ids: BTreeSet<_> = dashboard.places().iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert_eq!(ids.len(), places.len(), "{}: each has an id of its own", dashboard.name);
        for panel in dashboard.panels() {
            assert!(!text(&panel.json["title"]).is_empty(), "{} has a title", panel.name);
            assert!(text(&panel.json["description"]).ends_with('.'), "{} is described in sentences", panel.name);
            assert!(!panel.queries().is_empty(), "{} asks for something", panel.name);
        }
    }
}

pub async fn what_dashboards_refer_to_exists(_: &TracedWorld) {
    let (sources, alerts) = (data_sources(), files::alerts());
    let mut uids = BTreeSet::new();
    for dashboard in dashboards() {
        assert!(uids.insert(text(&dashboard.json["uid"]).to_owned()), "{}: its uid is its own", dashboard.name);
        assert_eq!(dashboard.json["editable"], false, "{}: the file is the truth", dashboard.name);
        let variables = dashboard.json["templating"]["list"].as_array().unwrap();
        for asks in dashboard.panels().map(|panel| panel.json).chain(variables) {
            let [uid, kind] = ["uid", "type"].map(|key| text(&asks["datasource"][key]));
            let source = sources.get(uid).unwrap_or_else(|| panic!("{}: no data source is {uid}", dashboard.name));
            assert_eq!(source["type"], kind, "{}", dashboard.name);
        }
        for panel in dashboard.panels() {
            let mut sections: Vec<_> = text(&panel.json["description"]).split(" in docs/runbook.md").collect();
            sections.pop();
            for alert in sections.into_iter().filter_map(|before| before.rsplit(' ').next()) {
                assert!(alerts.contains(alert), "{}: {alert} is no alert", panel.name);
            }
        }
    }
    let interval = &files::prometheus()["global"]["scrape_interval"];
    assert_eq!(&sources["prometheus"]["jsonData"]["timeInterval"], interval, "Grafana's windows hold some scrapes");
    assert_eq!(sources["jaeger"]["jsonData"]["tracesToMetrics"]["datasourceUid"], "prometheus");
}

/// x, y, width and height.
fn place(panel: &Value) -> [u64; 4] {
    ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap())
}
