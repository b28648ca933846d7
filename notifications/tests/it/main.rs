//! Notifications as its callers, its operators, Kafka and Telegram meet it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod binary;
mod broker;
mod config;
mod consumption;
mod delivery;
mod failures;
mod history;
mod operators;
mod past;
mod poison;
mod pooler;
mod process;
mod replicas;
mod schema;
mod tls;
mod topics;
mod traces;
mod world;
