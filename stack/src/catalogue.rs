//! The products that the local marketplace sells, and the first stock of its warehouses, embedded from `data/*.csv`.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Columns: `sku,name,price`.
const CATALOGUE: &str = include_str!("../data/catalogue.csv");

/// Columns: `warehouse_id,sku,count`, as `loms stock import` reads them.
pub const STOCK: &str = include_str!("../data/stock.csv");

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Product {
    pub sku: u32,
    pub name: String,
    /// In whole roubles.
    pub price: u32,
}

/// The whole catalogue, by SKU.
pub fn products() -> Result<BTreeMap<u32, Product>, csv::Error> {
    let mut reader = csv::Reader::from_reader(CATALOGUE.as_bytes());
    reader.deserialize().map(|line| line.map(|product: Product| (product.sku, product))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::BTreeSet;

    use super::*;

    #[derive(Deserialize)]
    struct StockLine {
        warehouse_id: i64,
        sku: u32,
        count: u64,
    }

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
        let products = products().unwrap();
        let stock: Result<Vec<StockLine>, _> = csv::Reader::from_reader(STOCK.as_bytes()).deserialize().collect();
        let stock = stock.unwrap();
        assert!(stock.iter().all(|line| products.contains_key(&line.sku)));
        let warehouses: BTreeSet<_> = stock.iter().map(|line| line.warehouse_id).collect();
        assert_eq!(warehouses.len(), 4);

        let mut totals: BTreeMap<u32, u64> = products.keys().map(|sku| (*sku, 0)).collect();
        for line in &stock {
            *totals.entry(line.sku).or_default() += line.count;
        }
        let count = |wanted: fn(u64) -> bool| totals.values().filter(|total| wanted(**total)).count();
        assert!(count(|total| total == 0) >= 2, "some are out of stock");
        assert!(count(|total| (1..=10).contains(&total)) >= 5, "some are scarce");
        assert!(count(|total| total > 100_000) >= 2, "some cover more than one cart may hold");
        assert!(count(|total| total > 0) >= 101, "more than one cart may hold are in stock");
    }
}
