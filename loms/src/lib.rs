//! LOMS, logistics and order management: orders, the stock they reserve, and what becomes of both.

pub mod app;
pub mod commands;
pub mod config;
pub mod domain;
pub mod expiry;
pub mod grpc;
pub mod kafka;
mod measure;
mod metrics;
pub mod relay;
pub mod store;
pub mod usecase;
