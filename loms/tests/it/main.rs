//! LOMS from outside: its calls, its events, its command line, and what its database never allows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod batches;
mod broker;
mod bulkheads;
mod calls;
mod config;
mod events;
mod expiry;
mod idempotency;
mod limits;
mod listing;
mod operations;
mod operators;
mod past;
mod plan;
mod pooler;
mod races;
mod refusals;
mod schema;
mod states;
mod stock;
mod tls;
mod topic;
mod validation;
mod world;
