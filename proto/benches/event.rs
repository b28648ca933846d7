//! Writing and reading the events of orders.
#![allow(clippy::unwrap_used, reason = "what is measured cannot fail")]

use chrono::{SubsecRound as _, Utc};
use divan::{Bencher, black_box};
use proto::event::Event;

fn main() {
    divan::main();
}

fn event() -> Event {
    Event {
        user: 7.try_into().unwrap(),
        order: 123_456_789.try_into().unwrap(),
        status: "awaiting payment".into(),
        text: "Order 123456789 awaits payment until 12:34:56 UTC on 1 Jan 2026.".into(),
        id: "0198c2a1-5f5e-7c3b-9d0e-2f1a3b4c5d6e".into(),
        occurred_at: Utc::now().trunc_subsecs(6),
    }
}

#[divan::bench]
fn write(bencher: Bencher<'_, '_>) {
    let event = event();
    bencher.bench_local(|| black_box(&event).write().unwrap());
}

#[divan::bench]
fn read(bencher: Bencher<'_, '_>) {
    let (value, now) = (event().write().unwrap(), Utc::now());
    bencher.bench_local(|| Event::read(black_box(Some(&value)), "orders/0/1", now).is_ok());
}
