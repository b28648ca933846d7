//! Reads metrics from `docs/metrics.md`, from `/metrics` of a service, and from queries. All three must agree.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use anyhow::{Context as _, anyhow, bail};
use promql_parser::{
    label::MatchOp,
    parser::{Expr, VectorSelector, parse},
    util::{ExprVisitor, walk_expr},
};
use stack::fleet::Service;

const DOCS: &str = include_str!("../../docs/metrics.md");

/// Labels and their values.
pub type Labels = BTreeMap<String, BTreeSet<String>>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentedMetric {
    /// The services that have this metric.
    pub services: Vec<&'static str>,
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    /// A label has no values here if the page lists none.
    pub labels: Labels,
}

/// The metrics in `docs/metrics.md`, by name.
pub fn documented() -> anyhow::Result<BTreeMap<String, DocumentedMetric>> {
    let mut metrics = BTreeMap::new();
    let all = Service::ALL.map(Service::name);
    let mut services = Vec::new();
    for line in DOCS.lines() {
        if let Some(section) = line.strip_prefix("## ") {
            let named: Vec<_> = section.split(" and ").collect();
            services = all.into_iter().filter(|name| named.contains(name) || section == "Every service").collect();
        } else if line.starts_with("| `") {
            let (name, metric) = row(line, &services).with_context(|| format!("in docs/metrics.md: {line}"))?;
            if metrics.insert(name.clone(), metric).is_some() {
                bail!("docs/metrics.md lists {name} twice");
            }
        }
    }
    Ok(metrics)
}

fn row(line: &str, services: &[&'static str]) -> anyhow::Result<(String, DocumentedMetric)> {
    let cells: Vec<_> = line.split('|').map(str::trim).collect();
    let ["", name, kind, labels, _meaning, ""] = cells[..] else { bail!("four cells are expected") };
    let [name] = &quoted(name)[..] else { bail!("the first cell is the name") };
    let labels = labels.split(';').map(quoted).filter(|names| !names.is_empty());
    let labels = labels.map(|mut names| (names.remove(0), names.into_iter().collect())).collect();
    Ok((name.clone(), DocumentedMetric { services: services.to_vec(), kind: kind.to_owned(), labels }))
}

/// The texts between backticks.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The answer of `/metrics`, in Prometheus's exposition format.
#[derive(Debug)]
pub struct Exposition {
    pub text: String,
    /// The kind of each metric, by name.
    pub kinds: BTreeMap<String, String>,
    samples: Vec<(Selector, f64)>,
}

impl Exposition {
    /// Asks the admin port of a service.
    pub async fn fetch(admin: SocketAddr) -> anyhow::Result<Self> {
        let answer = reqwest::get(format!("http://{admin}/metrics")).await?.error_for_status()?;
        Self::parse(answer.text().await?)
    }

    fn parse(text: String) -> anyhow::Result<Self> {
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let kinds = types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect();
        let samples = text.lines().filter(|line| !line.starts_with('#')).map(sample).collect::<Result<_, _>>()?;
        Ok(Self { text, kinds, samples })
    }

    /// The labels of a metric and all their values, without `le`, the bounds of a histogram.
    pub fn labels(&self, metric: &str) -> Labels {
        let mut labels = Labels::new();
        for (selector, _) in self.samples.iter().filter(|(selector, _)| selector.metric(&self.kinds) == metric) {
            for (label, values) in selector.labels.iter().filter(|(label, _)| *label != "le") {
                labels.entry(label.clone()).or_default().extend(values.iter().cloned());
            }
        }
        labels
    }

    /// The sum of all series that match a selector such as `name{label="value"}`; none if no series matches.
    pub fn sum(&self, selector: &str) -> Option<f64> {
        let [wanted] = &selectors(selector).ok()?[..] else { return None };
        let has = |series: &Selector| {
            wanted.name == series.name
                && wanted.labels.iter().all(|(label, values)| series.labels.get(label) == Some(values))
        };
        self.samples.iter().filter(|(series, _)| has(series)).map(|(_, value)| *value).reduce(|sum, value| sum + value)
    }
}

/// A line of the format is a series, which looks like a selector, and a number.
fn sample(line: &str) -> anyhow::Result<(Selector, f64)> {
    let (series, value) = line.rsplit_once(' ').with_context(|| format!("no sample: {line}"))?;
    let [selector] = &selectors(series)?[..] else { bail!("no series: {line}") };
    Ok((selector.clone(), value.parse().with_context(|| format!("no number: {line}"))?))
}

/// The part of a query that selects series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// The name of the series, such as `x_bucket` for a histogram `x`.
    pub name: String,
    /// The labels, with the values that they must have, or must not have.
    pub labels: Labels,
}

impl Selector {
    /// The name of the metric that the series belong to.
    pub fn metric<K: AsRef<str>>(&self, kinds: &BTreeMap<String, K>) -> &str {
        let histogram = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| self.name.strip_suffix(suffix));
        let is_histogram = |name: &&str| kinds.get(*name).is_some_and(|kind| kind.as_ref() == "histogram");
        histogram.filter(is_histogram).unwrap_or(&self.name)
    }
}

/// All selectors of a query.
pub fn selectors(query: &str) -> anyhow::Result<Vec<Selector>> {
    let tree = parse(query).map_err(|error| anyhow!("{query}: {error}"))?;
    let mut visitor = SelectorVisitor::default();
    walk_expr(&mut visitor, &tree)?;
    Ok(visitor.0)
}

#[derive(Default)]
struct SelectorVisitor(Vec<Selector>);

impl ExprVisitor for SelectorVisitor {
    type Error = anyhow::Error;

    fn pre_visit(&mut self, expression: &Expr) -> anyhow::Result<bool> {
        #[allow(clippy::wildcard_enum_match_arm, reason = "nothing else selects series")]
        match expression {
            Expr::VectorSelector(selector) => self.0.push(to_selector(selector)?),
            Expr::MatrixSelector(selector) => self.0.push(to_selector(&selector.vs)?),
            _ => {}
        }
        Ok(true)
    }
}

fn to_selector(selector: &VectorSelector) -> anyhow::Result<Selector> {
    let name = selector.name.clone().with_context(|| format!("{selector} names no metric"))?;
    let labels = selector.matchers.matchers.iter().map(|matcher| {
        let values = match matcher.op {
            MatchOp::Equal | MatchOp::NotEqual => BTreeSet::from([matcher.value.clone()]),
            MatchOp::Re(_) | MatchOp::NotRe(_) => matcher.value.split('|').map(str::to_owned).collect(),
        };
        (matcher.name.clone(), values)
    });
    Ok(Selector { name, labels: labels.collect() })
}
