//! What happens around every call, seen by a caller of a small service.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod around;
mod background;
mod connections;
mod database;
mod logging;
mod rooms;
mod world;
