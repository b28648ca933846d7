//! What every service of the fleet needs. Nothing here belongs to one service.

mod admin;
pub mod batches;
pub mod cli;
pub mod config;
pub mod deadline;
pub mod failure;
pub mod grpc;
pub mod json;
pub mod kafka;
pub mod metrics;
pub mod net;
pub mod postgres;
pub mod process;
pub mod retention;
pub mod service;
pub mod skipped;
pub mod telemetry;
pub mod terminal;
pub mod tls;
pub mod worker;
