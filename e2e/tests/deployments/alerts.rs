//! Every alert has tests, and leads the reader to a dashboard and to the runbook.

use std::collections::BTreeSet;

use e2e::metrics;
use stack::fleet::Service;

use crate::files::{self, list, text};

#[test]
fn every_alert_is_tested_where_it_fires_and_where_it_must_not() {
    let (mut fires, mut is_silent) = (BTreeSet::new(), BTreeSet::new());
    for test in files::rule_tests().iter().flat_map(|test| list(&test["alert_rule_test"])) {
        let expected = list(&test["exp_alerts"]);
        let tested = if expected.is_empty() { &mut is_silent } else { &mut fires };
        tested.insert(text(&test["alertname"]).to_owned());
    }
    let alerts: BTreeSet<_> = files::alerts().iter().map(|rule| rule.alert().unwrap().to_owned()).collect();
    assert_eq!(fires, alerts, "tests in which an alert fires, and alerts");
    assert_eq!(is_silent, alerts, "tests in which an alert is silent, and alerts");
}

#[test]
fn every_series_that_is_recorded_is_tested_for_its_values() {
    let tests = files::rule_tests();
    let queries = tests.iter().flat_map(|test| list(&test["promql_expr_test"]));
    let tested: BTreeSet<_> = queries
        .filter(|test| !list(&test["exp_samples"]).is_empty())
        .flat_map(|test| metrics::selectors(text(&test["expr"])).unwrap())
        .map(|selector| selector.name)
        .collect();
    let recorded: BTreeSet<_> = files::rules().iter().filter_map(|rule| rule.record().map(str::to_owned)).collect();
    assert_eq!(tested, recorded, "series that tests ask for, and series that are recorded");
}

#[test]
fn every_alert_says_how_bad_it_is_what_it_is_and_where_to_read_on() {
    let dashboards: Vec<_> = files::dashboard_uids().into_iter().map(|uid| format!("/d/{uid}")).collect();
    for rule in files::alerts() {
        let (name, annotations) = (rule.alert().unwrap(), &rule.json["annotations"]);
        assert!(["page", "ticket"].contains(&text(&rule.json["labels"]["severity"])), "{name} has a severity");
        for sentence in ["summary", "description"] {
            let sentence = text(&annotations[sentence]);
            assert!(sentence.len() > 10 && sentence.ends_with('.'), "{name}: {sentence}");
        }
        assert_eq!(annotations["runbook_url"], format!("docs/runbook.md#{}", name.to_lowercase()));
        // An alert that is for all services leads to the dashboard of the service that it fires for.
        for service in Service::ALL.map(Service::name) {
            let dashboard = text(&annotations["dashboard"]).replace("{{ $labels.job }}", service);
            assert!(dashboards.contains(&dashboard), "{name}: {dashboard} is none of {dashboards:?}");
        }
    }
}
