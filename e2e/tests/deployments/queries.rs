//! The queries of the rules ask for metrics and labels that exist.

use std::collections::{BTreeMap, BTreeSet};

use e2e::metrics::{self, Selector};

use crate::files;

/// Labels that docs do not list. Prometheus sets the first two, and the last one is the bound of a histogram.
const COMMON_LABELS: [&str; 3] = ["job", "instance", "le"];

/// Series that Prometheus itself makes.
const PROMETHEUS: [&str; 2] = ["up", "ALERTS"];

#[test]
fn rules_ask_for_metrics_and_labels_that_services_have() {
    let documented = metrics::documented().unwrap();
    let kinds: BTreeMap<_, _> = documented.iter().map(|(name, metric)| (name.clone(), &metric.kind)).collect();
    let rules = files::rules();
    let recorded: BTreeSet<_> = rules.iter().filter_map(|rule| rule.record()).collect();
    let is_ours =
        |selector: &Selector| !recorded.contains(selector.name.as_str()) && !PROMETHEUS.contains(&&*selector.name);
    let selectors: Vec<_> = rules.iter().flat_map(|rule| metrics::selectors(rule.query()).unwrap()).collect();
    assert!(selectors.len() > rules.len());
    for selector in selectors.iter().filter(|selector| is_ours(selector)) {
        let name = selector.metric(&kinds);
        let metric = documented.get(name).unwrap_or_else(|| panic!("{name} is not in docs/metrics.md"));
        for (label, values) in selector.labels.iter().filter(|(label, _)| !COMMON_LABELS.contains(&label.as_str())) {
            let known = metric.labels.get(label).unwrap_or_else(|| panic!("{name} has no label {label}"));
            assert!(known.is_empty() || known.is_superset(values), "{name} has no {label} {values:?}");
        }
    }
}

#[test]
fn what_a_rule_records_is_asked_for_by_its_full_name() {
    let rules = files::rules();
    let recorded: BTreeSet<_> = rules.iter().filter_map(|rule| rule.record()).collect();
    let asked = rules.iter().flat_map(|rule| metrics::selectors(rule.query()).unwrap());
    let asked: BTreeSet<_> = asked.map(|selector| selector.name).filter(|name| name.contains(':')).collect();
    assert!(!asked.is_empty());
    for name in asked {
        assert!(recorded.contains(name.as_str()), "{name} is recorded by no rule");
    }
}

/// The services expose `le="1"`. Prometheus 2 keeps that, and Prometheus 3 changes it to `le="1.0"`.
#[test]
fn bounds_of_histograms_are_asked_for_as_both_prometheus_2_and_3_have_them() {
    let rules = files::rules();
    let selectors = rules.iter().flat_map(|rule| metrics::selectors(rule.query()).unwrap());
    let bounds: Vec<_> = selectors.filter_map(|mut selector| selector.labels.remove("le")).collect();
    assert!(!bounds.is_empty());
    for bound in bounds {
        let exposed = bound.iter().find(|text| text.parse::<u32>().is_ok()).expect("a bound is a whole number");
        assert_eq!(bound, BTreeSet::from([exposed.clone(), format!("{exposed}[.]0")]));
    }
}
