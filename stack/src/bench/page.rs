//! The findings as tables in Markdown.

use std::fmt::{self, Write as _};

use super::{
    Findings, Measured,
    backlog::Backlog,
    doors,
    loads::{CROWD, EMPTY, FIVEFOLD, HALF, HOT, JOURNEY, ORDER},
    usage::{CLIENT, millis},
};
use crate::{fleet::Service, load::Pace};

/// Where the tables are in a page.
const BEGIN: &str = "<!-- what was measured -->";
const END: &str = "<!-- end of what was measured -->";

pub(super) fn pace(pace: Pace) -> String {
    match pace {
        Pace::Users(1) => "1 caller".to_owned(),
        Pace::Users(users) => format!("{users} callers"),
        Pace::Rate(rate) => format!("{rate:.0} a second"),
    }
}

impl Findings {
    /// Puts the tables into a page, in place of those that are there.
    pub fn put_into(&self, page: &str) -> anyhow::Result<String> {
        let (before, rest) = page.split_once(BEGIN).ok_or_else(|| anyhow::anyhow!("the page has no line {BEGIN}"))?;
        let (_, after) = rest.split_once(END).ok_or_else(|| anyhow::anyhow!("the page has no line {END}"))?;
        Ok(format!("{before}{BEGIN}\n\n{}\n{END}{after}", self.tables()?))
    }

    pub fn tables(&self) -> anyhow::Result<String> {
        let mut page = String::new();
        self.calls(&mut page)?;
        self.ceilings(&mut page)?;
        self.events(&mut page)?;
        self.costs(&mut page)?;
        if !self.doors.is_empty() {
            page.push_str(&doors::table(&self.doors)?);
        }
        page.push_str(&self.statements);
        self.footprints(&mut page)?;
        Ok(page)
    }

    fn find(&self, name: &str, users: u32) -> Option<f64> {
        let found =
            self.loads.iter().find(|measured| measured.load.name == name && measured.load.pace == Pace::Users(users));
        found.and_then(|measured| measured.per_second().ok())
    }

    fn calls(&self, page: &mut String) -> anyhow::Result<()> {
        let Self { build, machine, postgres, .. } = self;
        writeln!(page, "Commit {build}, on {machine}, with Postgres ({postgres}).\n")?;
        writeln!(page, "| what | by | a second | p50 ms | p90 | p99 | p99.9 | not OK | of the empty RPC |")?;
        writeln!(page, "|---|---|---|---|---|---|---|---|---|")?;
        for measured in &self.loads {
            let line = measured.line()?;
            let codes: Vec<_> = line.codes.iter().map(|(code, count)| format!("{count} {code}")).collect();
            let share = match measured.load.pace {
                Pace::Users(users) => self.find(EMPTY, if users == 1 { 1 } else { CROWD }),
                Pace::Rate(_) => None,
            };
            let per_second = measured.per_second()?;
            let share = share.map_or_else(String::new, |empty| format!("{:.3}", per_second / empty));
            let [p50, p90, p99, p999] = [line.p50, line.p90, line.p99, line.p999].map(millis);
            writeln!(
                page,
                "| {} | {} | {per_second:.0} | {p50:.1} | {p90:.1} | {p99:.1} | {p999:.1} | {} | {share} |",
                measured.load.name,
                pace(measured.load.pace),
                codes.join(", "),
            )?;
        }
        Ok(())
    }

    fn ceilings(&self, page: &mut String) -> fmt::Result {
        let best = |is_single: bool| {
            let ceilings = self.ceilings.iter().filter(|(ceiling, _)| (ceiling.orders == 1) == is_single);
            ceilings.map(|(_, per_second)| *per_second).fold(0.0, f64::max)
        };
        let (single, batched) = (best(true), best(false));
        writeln!(page, "\n| orders a second | | CreateOrder by {CROWD} callers is |")?;
        writeln!(page, "|---|---|---|")?;
        let ours = self.find(ORDER, CROWD).unwrap_or_default();
        writeln!(
            page,
            "| Postgres alone, one order a transaction, at its best | {single:.0} | {:.2} times |",
            ours / single
        )?;
        writeln!(page, "| Postgres alone, 64 orders a transaction | {batched:.0} | {:.2} times |", ours / batched)?;
        let hot = self.find(HOT, CROWD).unwrap_or_default();
        writeln!(page, "| CreateOrder of one SKU, {CROWD} callers | {hot:.0} | {:.2} times |", ours / hot)
    }

    fn events(&self, page: &mut String) -> anyhow::Result<()> {
        let find = |name| self.loads.iter().find(|measured| measured.load.name == name);
        if let (Some(fivefold), Ok(peak)) = (find(FIVEFOLD), super::peak(&self.loads)) {
            let (good, most) = (fivefold.good_per_second()?, peak.good_per_second()?);
            writeln!(
                page,
                "\nAt five times of what can be served, {good:.0} journeys a second come to a good end, {:.2} of the most.",
                good / most
            )?;
        }
        if let Some(half) = find(HALF) {
            let [p50, p99] = [0.5, 0.99].map(|share| half.event_ages.quantile(share) * 1e3);
            writeln!(
                page,
                "At half of what can be served, an event is in the history after {p50:.0} ms (p50), {p99:.0} ms (p99)."
            )?;
        }
        if let Some(Backlog { events, published, stored }) = self.backlog {
            writeln!(
                page,
                "Of a backlog of {events} events, {published:.0} are published in a second, and {stored:.0} stored."
            )?;
        }
        Ok(())
    }

    fn costs(&self, page: &mut String) -> anyhow::Result<()> {
        let parts: Vec<&str> =
            self.loads.first().map(|measured| measured.cpu.0.keys().copied().collect()).unwrap_or_default();
        writeln!(
            page,
            "\nWhat a journey costs: milliseconds of CPU by process (seconds for 1,000), round trips to Postgres by service, and\ntransactions. It counts until the last message is delivered.\n"
        )?;
        let services = Service::ALL.map(Service::name);
        writeln!(
            page,
            "| journeys by | {} | all but the client | {} | transactions |",
            parts.join(" | "),
            services.map(|name| format!("round trips, {name}")).join(" | ")
        )?;
        writeln!(page, "|{}", "---|".repeat(parts.len() + services.len() + 3))?;
        for measured in self.loads.iter().filter(|measured| measured.load.name == JOURNEY) {
            #[allow(clippy::cast_precision_loss, reason = "a mean is not that exact")]
            let journeys = measured.line()?.count.max(1) as f64;
            let cpu = |part: &str| measured.cpu.0.get(part).copied().unwrap_or_default() * 1e3 / journeys;
            let all: f64 = parts.iter().filter(|part| **part != CLIENT).map(|part| cpu(part)).sum();
            let cells: Vec<_> = parts.iter().map(|part| format!("{:.2}", cpu(part))).collect();
            let trips = services.map(|name| format!("{:.1}", trips(measured, name) / journeys));
            writeln!(
                page,
                "| {} | {} | {all:.2} | {} | {:.1} |",
                pace(measured.load.pace),
                cells.join(" | "),
                trips.join(" | "),
                measured.transactions / journeys,
            )?;
        }
        let idle: Vec<_> = self.idle_round_trips.iter().map(|(name, trips)| format!("{name} {trips:.1}")).collect();
        let all: f64 = self.idle_round_trips.values().sum();
        writeln!(
            page,
            "\nA fleet to which nothing happens makes {all:.1} round trips to Postgres a second: {}.",
            idle.join(", ")
        )?;
        Ok(())
    }

    fn footprints(&self, page: &mut String) -> fmt::Result {
        writeln!(page, "\n| service | resident, idle | after the loads | at its peak | from its start to ready |")?;
        writeln!(page, "|---|---|---|---|---|")?;
        for footprint in &self.footprints {
            writeln!(
                page,
                "| {} | {:.0} MiB | {:.0} MiB | {:.0} MiB | {:.0} ms |",
                footprint.service.name(),
                footprint.idle.now,
                footprint.loaded.now,
                footprint.loaded.peak,
                footprint.ready
            )?;
        }
        Ok(())
    }
}

fn trips(measured: &Measured, service: &str) -> f64 {
    measured.round_trips.get(service).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn tables_take_the_place_of_those_before_and_leave_the_rest_of_the_page() {
        let findings = |build: &str| Findings {
            build: build.to_owned(),
            machine: String::new(),
            postgres: String::new(),
            loads: Vec::new(),
            ceilings: Vec::new(),
            doors: Vec::new(),
            backlog: None,
            statements: String::new(),
            footprints: Vec::new(),
            idle_round_trips: BTreeMap::new(),
        };
        let page = format!("above\n{BEGIN}\n{END}\nbelow\n");
        let first = findings("abc").put_into(&page).unwrap();
        assert!(
            first.starts_with("above\n") && first.contains("Commit abc") && first.ends_with("\nbelow\n"),
            "{first}"
        );
        let second = findings("def").put_into(&first).unwrap();
        assert!(second.contains("Commit def") && !second.contains("abc"), "{second}");
        assert!(findings("abc").put_into("a page of something else").is_err());
    }
}
