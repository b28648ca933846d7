//! The files of `deployments/`: the tools that they are for accept them, and what they refer to exists.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod addresses;
mod alerts;
mod compose;
mod composed;
mod containers;
mod dockerfile;
mod files;
mod inputs;
mod promtool;
mod queries;
mod runbook;
mod sandbox;
mod script;
mod services;
mod told;
