//! The runbook has a section for every alert, and everything that it refers to exists.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use crate::files;

/// A shorter section cannot hold a meaning, something to look at, something to do, and an end.
const SHORTEST: usize = 300;

#[test]
fn it_has_a_section_for_every_alert_and_no_other() {
    let alerts = files::alerts();
    let alerts: BTreeSet<_> = alerts.iter().map(|rule| rule.alert().unwrap().to_owned()).collect();
    let sections = sections(&text());
    assert_eq!(sections.keys().cloned().collect::<BTreeSet<_>>(), alerts, "sections, and alerts");
    for (name, section) in sections {
        assert!(section.len() > SHORTEST, "what is said of {name} is short");
        for part in ["**Shoppers**", "**Look**", "**Do**", "**Clears**"] {
            assert!(section.contains(part), "{name} lacks {part}");
        }
    }
}

#[test]
fn its_links_lead_to_its_sections_and_to_pages_that_are_there() {
    let text = text();
    let sections: Vec<_> = sections(&text).keys().map(|name| format!("#{}", name.to_lowercase())).collect();
    let links: Vec<_> = text.split("](").skip(1).map(|rest| rest.split_once(')').unwrap().0).collect();
    assert!(links.len() > 20);
    for link in links {
        let exists = sections.iter().any(|section| section == link) || files::path(&format!("docs/{link}")).is_file();
        assert!(exists, "{link} leads nowhere");
    }
}

/// In the runbook, emphasised words are the titles of panels.
#[test]
fn the_panels_that_it_names_are_on_a_dashboard() {
    let titles = files::titles();
    let mut prose = String::new();
    for block in text().split("```").step_by(2) {
        prose.extend(block.split('`').step_by(2));
    }
    let prose = prose.replace("**", "").replace('\n', " ");
    let names: BTreeSet<_> = prose.split('*').skip(1).step_by(2).collect();
    assert!(names.len() > 20);
    for name in names {
        let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(titles.contains(&name), "nothing on a dashboard is called {name}");
    }
}

fn text() -> String {
    fs::read_to_string(files::path("docs/runbook.md")).unwrap()
}

/// The text below each heading of the third level.
fn sections(text: &str) -> BTreeMap<String, String> {
    let mut sections = BTreeMap::<String, String>::new();
    let mut section = None;
    for line in text.lines() {
        if line.starts_with("## ") || line.starts_with("### ") {
            section = line.strip_prefix("### ");
        } else if let Some(name) = section {
            *sections.entry(name.to_owned()).or_default() += line;
        }
    }
    sections
}
