//! Links from panels to traces: searches in Grafana's Explore. Grafana fills in their variables from the clicked point.

use platform::grpc;
use reqwest::Url;
use serde_json::Value;
use stack::collector::Span;

use super::files::text;

/// The time range of the dashboard, in milliseconds.
const FROM: &str = "1700000000000";
const TO: &str = "1700003600000";

/// The search in Jaeger that a link to Explore makes.
#[derive(Debug)]
pub struct Search {
    service: String,
    operation: Option<String>,
    /// The names of the tags.
    tags: Vec<String>,
}

impl Search {
    /// Parses a link whose variables are filled in.
    pub fn parse(link: &str) -> Self {
        let url = Url::parse("http://grafana").unwrap().join(link).unwrap();
        assert_eq!(url.path(), "/explore");
        let parameter = |name: &str| url.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned();
        assert_eq!(parameter("schemaVersion"), "1");
        let panes: Value = serde_json::from_str(&parameter("panes")).unwrap();
        let pane = panes.as_object().unwrap().values().next().unwrap();
        assert_eq!(pane["range"], serde_json::json!({ "from": FROM, "to": TO }), "{link} carries the time range over");
        let query = &pane["queries"][0];
        assert_eq!([text(&pane["datasource"]), text(&query["datasource"]["uid"])], ["jaeger"; 2]);
        assert_eq!(query["queryType"], "search");
        if let Some(duration) = query["minDuration"].as_str() {
            let seconds: f64 = duration.strip_suffix('s').unwrap().parse().unwrap();
            assert!(seconds >= 0.0, "{duration}");
        }
        let tags = query["tags"].as_str().into_iter().flat_map(|tags| tags.split(' '));
        Self {
            service: text(&query["service"]).to_owned(),
            operation: query["operation"].as_str().map(str::to_owned),
            tags: tags.map(|tag| tag.split_once('=').unwrap().0.to_owned()).collect(),
        }
    }

    /// Whether the search can find one of the spans. The values of the tags are not compared.
    pub fn may_find(&self, spans: &[Span]) -> bool {
        spans.iter().any(|span| {
            // Jaeger adds the tag `error` to a span that failed.
            let has = |tag: &str| tag == "error" || span.attributes.contains_key(tag);
            span.service() == self.service
                && self.operation.as_ref().is_none_or(|operation| *operation == span.name)
                && self.tags.iter().all(|tag| has(tag))
        })
    }

    /// Whether the operation is named like an RPC, and no such RPC exists.
    pub fn is_of_an_unknown_rpc(&self) -> bool {
        let Some((service, method)) = self.operation.as_deref().and_then(|operation| operation.split_once('/')) else {
            return false;
        };
        let is_rpc = service.contains('.') && !service.contains(' ');
        is_rpc && !grpc::methods(proto::DESCRIPTORS, service).unwrap().iter().any(|known| known.name == method)
    }
}

/// The link that Grafana makes when the user clicks a point of a series with these labels.
pub fn filled_in(link: &str, series: &Value) -> String {
    let mut link = link.replace("${__from}", FROM).replace("${__to}", TO).replace("${__value.numeric}", "0.0025");
    link = link.replace("${__url_time_range}", &format!("from={FROM}&to={TO}"));
    for (label, value) in series.as_object().into_iter().flatten() {
        link = link.replace(&format!("${{__field.labels.{label}}}"), text(value));
    }
    assert!(!link.contains("${"), "{link} has a variable that {series} does not fill in");
    link
}
