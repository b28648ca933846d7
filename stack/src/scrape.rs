//! What one service tells at `/metrics`, in the text format of Prometheus.

use std::net::SocketAddr;

use reqwest::Client;

/// The series of a name, all of them or those with this value of a label.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Series(pub &'static str, pub Option<(&'static str, &'static str)>);

#[derive(Debug, Default)]
pub(crate) struct Scrape(String);

impl Scrape {
    pub async fn of(client: &Client, admin: SocketAddr) -> reqwest::Result<Self> {
        let answer = client.get(format!("http://{admin}/metrics")).send().await?;
        Ok(Self(answer.error_for_status()?.text().await?))
    }

    /// The labels and the values of the series of a name.
    fn series<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let lines = self.0.lines().filter_map(move |line| line.strip_prefix(name)?.rsplit_once(' '));
        // What begins with the name may have a longer one.
        lines.filter(|(labels, _)| labels.is_empty() || labels.starts_with('{'))
    }

    /// The sum; `None` if there is no such series.
    pub fn sum(&self, Series(name, label): Series) -> Option<f64> {
        let has_label = |labels: &str| label.is_none_or(|(label, value)| value_of(labels, label) == Some(value));
        let values = self.series(name).filter(|(labels, _)| has_label(labels));
        values.map(|(_, value)| value.parse().ok()).reduce(|sum, value| Some(sum? + value?))?
    }

    /// The sum in whole numbers.
    pub fn whole(&self, series: Series) -> Option<u64> {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is not negative, and a cast saturates"
        )]
        self.sum(series).map(|sum| sum.max(0.0) as u64)
    }

    /// The bounds of the buckets of a histogram, and how much is within each.
    pub fn buckets(&self, name: &str) -> Vec<(f64, f64)> {
        let buckets = self.series(name).filter_map(|(labels, count)| Some((value_of(labels, "le")?, count)));
        buckets.filter_map(|(bound, count)| Some((bound.parse().ok()?, count.parse().ok()?))).collect()
    }

    /// The value of a label of the first series of a name.
    pub fn label(&self, name: &str, label: &str) -> Option<String> {
        self.series(name).find_map(|(labels, _)| value_of(labels, label)).map(str::to_owned)
    }
}

/// The value of a label in `{label="value",…}`. The fleet's values have neither commas nor quotes in them.
fn value_of<'a>(labels: &'a str, label: &str) -> Option<&'a str> {
    let mut pairs = labels.trim_matches(['{', '}']).split(',');
    pairs.find_map(|pair| pair.strip_prefix(label)?.strip_prefix("=\"")?.strip_suffix('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_added_up_by_name_and_label() {
        let text = "# TYPE calls counter\ncalls{code=\"OK\",door=\"grpc\"} 2\ncalls{code=\"No\",door=\"grpc\"} 3\n\
                    calls_in_all 9\nmemory 1.5e6\nages_bucket{le=\"0.5\"} 1\nages_bucket{le=\"+Inf\"} 2\n";
        let scrape = Scrape(text.to_owned());
        assert_eq!(scrape.whole(Series("calls", None)), Some(5));
        assert_eq!(scrape.whole(Series("calls", Some(("code", "No")))), Some(3));
        assert_eq!(scrape.whole(Series("calls", Some(("door", "http")))), None);
        assert_eq!(scrape.whole(Series("memory", None)), Some(1_500_000));
        assert_eq!(scrape.buckets("ages_bucket"), [(0.5, 1.0), (f64::INFINITY, 2.0)]);
        assert_eq!(scrape.label("calls", "door").as_deref(), Some("grpc"));
        assert_eq!(Scrape::default().whole(Series("calls", None)), None);
    }
}
