//! Checkout through its front door: gRPC over TLS, on a real Postgres, with stand-ins for LOMS and ProductService that
//! can be made to fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod batches;
mod binary;
mod config;
mod crash;
mod database;
mod edit_cart;
mod graylog;
mod in_doubt;
mod kept;
mod limits;
mod list_cart;
mod loms_stand_in;
mod past;
mod pooler;
mod postgres_gone;
mod purchase;
mod races;
mod real_loms;
mod tls;
mod told;
mod traces;
mod validation;
mod world;
