//! The pure parts of a new order: reading its message, and planning a batch of orders over the stock that is free.
#![allow(clippy::unwrap_used, reason = "what is measured cannot fail")]

use divan::{Bencher, black_box, counter::ItemsCount};
use loms::{
    domain::{
        lines::{Line, Lines, Tally},
        plan::{Free, FreeStock},
    },
    grpc::wire,
};
use proto::loms::{CreateOrderRequest, OrderItem};

/// As many as are often bought from.
const SKUS: u32 = 100;
const WAREHOUSES: i64 = 3;

fn main() {
    divan::main();
}

fn stock() -> Vec<FreeStock> {
    let of = |sku: u32| {
        (1..=WAREHOUSES).map(move |warehouse| FreeStock {
            warehouse: warehouse.try_into().unwrap(),
            sku: sku.try_into().unwrap(),
            units: 1_000_000,
        })
    };
    (1..=SKUS).flat_map(of).collect()
}

fn orders(count: u32) -> Vec<Lines> {
    let order = |number: u32| {
        let mut tally = Tally::default();
        for sku in [number % SKUS + 1, (number + 1) % SKUS + 1] {
            tally.add(Line { sku: sku.try_into().unwrap(), count: 2u32.try_into().unwrap() }).unwrap();
        }
        tally.lines().unwrap()
    };
    (0..count).map(order).collect()
}

#[divan::bench(args = [1, 64, 256])]
fn plan_a_batch(bencher: Bencher<'_, '_>, count: u32) {
    let orders = orders(count);
    bencher
        .counter(ItemsCount::new(count))
        .with_inputs(|| stock().into_iter().collect::<Free>())
        .bench_local_values(|mut free| orders.iter().map(|lines| free.plan(lines).unwrap().len()).sum::<usize>());
}

#[divan::bench(args = [2, 100])]
fn read_a_message(bencher: Bencher<'_, '_>, lines: u32) {
    let items = (1..=lines).map(|sku| OrderItem { sku, count: 2 }).collect();
    let request = CreateOrderRequest { user: 7, items, idempotency_key: "0198c2a1-5f5e-7c3b-9d0e-2f1a3b4c5d6e".into() };
    bencher
        .with_inputs(|| request.clone())
        .bench_local_values(|request| wire::create_order(black_box(request)).is_ok());
}
