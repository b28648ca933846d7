#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use proptest::{collection::btree_map, prelude::*};
use proto::ids::{Count, MAX_LINES, Sku};

use super::{AddRefusal, Holdings, remove};
use crate::domain::Line;

fn line(sku: u32, count: u32) -> Line {
    Line { sku: Sku::try_from(sku).unwrap(), count: Count::try_from(count).unwrap() }
}

fn lines(counts: &BTreeMap<u32, u32>) -> Vec<Line> {
    counts.iter().map(|(sku, count)| line(*sku, *count)).collect()
}

#[test]
fn the_limits_are_checked_before_the_stock() {
    let full: Vec<_> = (1..=100).map(|sku| line(sku, 1)).collect();
    let holdings = Holdings::new(&full, &[]);
    assert_eq!(holdings.add(line(101, 1), 0), Err(AddRefusal::TooManySkus));
    assert_eq!(holdings.add(line(100, 65_535), 0), Err(AddRefusal::TooManyUnits));
    assert_eq!(
        holdings.add(line(100, 1), 1),
        Err(AddRefusal::InsufficientStock {
            sku: Sku::try_from(100u32).unwrap(),
            requested: Count::try_from(2u32).unwrap(),
            available: 1,
        })
    );
    assert_eq!(holdings.add(line(100, 65_534), 65_535), Ok(Count::MAX));
}

#[test]
fn lines_set_aside_count_towards_the_limits_but_not_towards_the_stock() {
    let set_aside: Vec<_> = (1..=100).map(|sku| line(sku, 65_000)).collect();
    let holdings = Holdings::new(&[], &set_aside);
    assert_eq!(holdings.add(line(101, 1), 1), Err(AddRefusal::TooManySkus));
    assert_eq!(holdings.add(line(1, 536), 536), Err(AddRefusal::TooManyUnits));
    assert_eq!(holdings.add(line(1, 535), 535), Ok(Count::try_from(535u32).unwrap()));
}

#[test]
fn a_line_goes_when_nothing_is_left_of_it() {
    let count = |count: u32| Count::try_from(count).unwrap();
    assert_eq!(remove(count(3), count(1)), Some(count(2)));
    assert_eq!(remove(count(3), count(3)), None);
    assert_eq!(remove(count(3), count(65_535)), None);
}

proptest! {
    #[test]
    fn whatever_is_added_the_lines_set_aside_fit_back(
        in_cart in btree_map(1u32..150, 1u32..=65_535, 0..60),
        set_aside in btree_map(1u32..150, 1u32..=65_535, 0..60),
        added in (1u32..150, 1u32..=65_535),
        available in 0u64..100_000,
    ) {
        let mut held = in_cart;
        // Only what the rule itself could have let in.
        held.retain(|sku, count| set_aside.get(sku).is_none_or(|aside| *count + aside <= 65_535));
        let before: std::collections::BTreeSet<_> = held.keys().chain(set_aside.keys()).collect();
        prop_assume!(before.len() <= MAX_LINES);

        let holdings = Holdings::new(&lines(&held), &lines(&set_aside));
        if let Ok(count) = holdings.add(line(added.0, added.1), available) {
            prop_assert_eq!(count.get(), held.get(&added.0).unwrap_or(&0) + added.1);
            prop_assert!(u64::from(count.get()) <= available);
            held.insert(added.0, count.get());
            for (sku, aside) in set_aside {
                *held.entry(sku).or_default() += aside;
            }
            prop_assert!(held.len() <= MAX_LINES);
            prop_assert!(held.values().all(|count| *count <= 65_535));
        }
    }
}
