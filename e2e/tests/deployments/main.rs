//! The files of `deployments/` are accepted by their tools, and everything that they refer to exists.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod addresses;
mod alerts;
mod compose;
mod composed;
mod containers;
mod dockerfile;
mod files;
mod inputs;
mod paging;
mod project;
mod promtool;
mod queries;
mod runbook;
mod sandbox;
mod script;
mod services;
mod told;
