//! What the marketplace sells, and what its warehouses hold to begin with: embedded copies of `data/*.csv`.

use std::collections::BTreeMap;

use serde::Deserialize;

/// `sku,name,price`
const CATALOGUE: &str = include_str!("../data/catalogue.csv");

/// `warehouse_id,sku,count`, as `loms stock import` reads it.
pub const STOCK: &str = include_str!("../data/stock.csv");

/// A line of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Product {
    /// What names it everywhere.
    pub sku: u32,
    /// What shoppers read.
    pub name: String,
    /// In whole roubles.
    pub price: u32,
}

/// Units of a SKU on hand in a warehouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct OnHand {
    /// Where.
    pub warehouse_id: i64,
    /// Of what.
    pub sku: u32,
    /// How many.
    pub count: u64,
}

/// The catalogue by SKU.
pub fn products() -> Result<BTreeMap<u32, Product>, csv::Error> {
    let mut reader = csv::Reader::from_reader(CATALOGUE.as_bytes());
    reader.deserialize().map(|line| line.map(|product: Product| (product.sku, product))).collect()
}

/// The first stock.
pub fn stock() -> Result<Vec<OnHand>, csv::Error> {
    csv::Reader::from_reader(STOCK.as_bytes()).deserialize().collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_product_has_a_name_of_its_own_and_a_price() {
        let products = products().unwrap();
        assert_eq!(products.len(), 120);
        assert!(products.values().all(|product| product.price > 0));
        let names: BTreeSet<_> = products.values().map(|product| &product.name).collect();
        assert_eq!(names.len(), products.len());
    }

    #[test]
    fn the_stock_has_what_demos_and_tests_rely_on() {
        let (products, stock) = (products().unwrap(), stock().unwrap());
        assert!(stock.iter().all(|line| products.contains_key(&line.sku)));
        let warehouses: BTreeSet<_> = stock.iter().map(|line| line.warehouse_id).collect();
        assert_eq!(warehouses.len(), 4);

        let mut totals: BTreeMap<u32, u64> = products.keys().map(|sku| (*sku, 0)).collect();
        for line in &stock {
            *totals.entry(line.sku).or_default() += line.count;
        }
        let of = |wanted: fn(u64) -> bool| totals.values().filter(|total| wanted(**total)).count();
        assert!(of(|total| total == 0) >= 2, "some are out of stock");
        assert!(of(|total| (1..=10).contains(&total)) >= 5, "some are scarce");
        assert!(of(|total| total > 100_000) >= 2, "some cover more than one cart may hold");
        assert!(of(|total| total > 0) >= 101, "more than one cart may hold are in stock");
    }
}
