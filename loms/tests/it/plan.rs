//! The reservation plan: never more than is free, never a part of an order, from as few warehouses as can be.

use std::collections::BTreeMap;

use loms::domain::{
    lines::{Line, Lines, Tally},
    plan::{Free, FreeStock, Reservation, Shortage},
};
use proptest::{collection::vec, prelude::*};
use proto::ids::{Count, Sku, WarehouseId};

fn lines(wanted: &[(u32, u32)]) -> Lines {
    let mut tally = Tally::default();
    for &(sku, count) in wanted {
        tally.add(Line { sku: sku.try_into().unwrap(), count: count.try_into().unwrap() }).unwrap();
    }
    tally.lines().unwrap()
}

fn free(stock: &[(i64, u32, u32)]) -> Vec<FreeStock> {
    stock
        .iter()
        .map(|&(warehouse, sku, units)| FreeStock {
            warehouse: warehouse.try_into().unwrap(),
            sku: sku.try_into().unwrap(),
            units,
        })
        .collect()
}

fn plan(lines: &Lines, stock: &[FreeStock]) -> Result<Vec<Reservation>, Shortage> {
    stock.iter().copied().collect::<Free>().plan(lines)
}

fn reservation(warehouse: i64, sku: u32, count: u32) -> Reservation {
    Reservation {
        warehouse: warehouse.try_into().unwrap(),
        sku: sku.try_into().unwrap(),
        count: count.try_into().unwrap(),
    }
}

/// Few SKUs and warehouses, so that they meet.
fn wanted() -> impl Strategy<Value = Vec<(u32, u32)>> {
    vec((1..6u32, 1..40u32), 1..10)
}

fn stock() -> impl Strategy<Value = Vec<(i64, u32, u32)>> {
    let units = prop_oneof![Just(0), 1..5u32, 1..60u32];
    proptest::collection::btree_map((1..8i64, 1..6u32), units, 0..40)
        .prop_map(|stock| stock.into_iter().map(|((warehouse, sku), units)| (warehouse, sku, units)).collect())
}

fn total(stock: &[FreeStock], sku: Sku) -> u64 {
    stock.iter().filter(|free| free.sku == sku).map(|free| u64::from(free.units)).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_plan_takes_every_line_in_full_and_nothing_that_is_not_free(wanted in wanted(), stock in stock()) {
        let (lines, stock) = (lines(&wanted), free(&stock));
        let Ok(reservations) = plan(&lines, &stock) else { return Ok(()) };
        let mut taken: BTreeMap<(WarehouseId, Sku), u32> = BTreeMap::new();
        for reservation in &reservations {
            let before = taken.insert((reservation.warehouse, reservation.sku), reservation.count.get());
            prop_assert!(before.is_none(), "a warehouse is asked once for a SKU");
        }
        for (&(warehouse, sku), &count) in &taken {
            let found = stock.iter().find(|free| (free.warehouse, free.sku) == (warehouse, sku));
            prop_assert!(found.is_some_and(|free| count <= free.units));
        }
        for line in lines.iter() {
            let sum: u32 = reservations.iter().filter(|r| r.sku == line.sku).map(|r| r.count.get()).sum();
            prop_assert_eq!(sum, line.count.get());
        }
        prop_assert!(taken.keys().all(|(_, sku)| lines.iter().any(|line| line.sku == *sku)));
    }

    #[test]
    fn an_order_is_refused_exactly_when_a_line_exceeds_what_is_free(wanted in wanted(), stock in stock()) {
        let (lines, stock) = (lines(&wanted), free(&stock));
        let short = lines.iter().find(|line| total(&stock, line.sku) < u64::from(line.count.get()));
        let expected = short.map(|Line { sku, count }| Shortage { sku, requested: count, available: total(&stock, sku) });
        prop_assert_eq!(plan(&lines, &stock).err(), expected, "the lowest short SKU is named");
    }

    #[test]
    fn no_smaller_number_of_warehouses_could_serve_a_line(wanted in wanted(), stock in stock()) {
        let (lines, stock) = (lines(&wanted), free(&stock));
        let Ok(reservations) = plan(&lines, &stock) else { return Ok(()) };
        for line in lines.iter() {
            let used = reservations.iter().filter(|reservation| reservation.sku == line.sku).count();
            let mut units: Vec<_> = stock.iter().filter(|free| free.sku == line.sku).map(|free| free.units).collect();
            units.sort_unstable_by(|a, b| b.cmp(a));
            let largest_but_one: u64 = units.iter().take(used - 1).copied().map(u64::from).sum();
            prop_assert!(largest_but_one < u64::from(line.count.get()));
        }
    }

    #[test]
    fn the_order_in_which_stock_is_read_does_not_matter(
        wanted in wanted(),
        (stock, shuffled) in stock().prop_flat_map(|stock| (Just(stock.clone()), Just(stock).prop_shuffle())),
    ) {
        prop_assert_eq!(plan(&lines(&wanted), &free(&stock)), plan(&lines(&wanted), &free(&shuffled)));
    }

    #[test]
    fn orders_that_are_planned_together_get_what_they_would_get_one_after_the_other(
        orders in vec(wanted(), 1..8),
        stock in stock(),
    ) {
        let mut left = free(&stock);
        let mut together = left.iter().copied().collect::<Free>();
        for wanted in orders {
            let alone = plan(&lines(&wanted), &left);
            prop_assert_eq!(&together.plan(&lines(&wanted)), &alone);
            for taken in alone.into_iter().flatten() {
                let from = left.iter_mut().find(|free| (free.warehouse, free.sku) == (taken.warehouse, taken.sku));
                from.unwrap().units -= taken.count.get();
            }
        }
    }

    #[test]
    fn lines_of_one_sku_are_added_up_and_sorted(wanted in wanted()) {
        let merged: Vec<_> = lines(&wanted).iter().map(|line| (line.sku.get(), line.count.get())).collect();
        let mut expected = BTreeMap::new();
        for (sku, count) in wanted {
            *expected.entry(sku).or_insert(0) += count;
        }
        prop_assert_eq!(merged, expected.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn the_largest_stock_goes_first_and_the_lower_warehouse_of_equals() {
    let stock = free(&[(5, 1, 3), (4, 1, 9), (3, 1, 9), (2, 1, 10), (1, 1, 0)]);
    assert_eq!(
        plan(&lines(&[(1, 20)]), &stock).unwrap(),
        [reservation(2, 1, 10), reservation(3, 1, 9), reservation(4, 1, 1)]
    );
}

#[test]
fn the_largest_line_can_come_from_many_small_stocks() {
    let stock: Vec<_> = (1..=65_535).map(|warehouse| (warehouse, 1, 1)).collect();
    let reservations = plan(&lines(&[(1, Count::MAX.get())]), &free(&stock)).unwrap();
    assert_eq!(reservations.len(), 65_535);
}
