//! Calls, connections, background work and the database from outside the crate; and tests that read the source code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod around;
mod background;
mod connections;
mod database;
mod door;
mod failover;
mod gateway;
mod json;
mod logging;
mod pooler;
mod rooms;
mod shares;
mod sources;
mod world;
