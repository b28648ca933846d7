//! What a browser has of the services: `make test-browser` starts it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod chromium;
mod grpc_web;
mod page;
