//! Checkout keeps the carts of the marketplace's users and turns each into an order of LOMS, once.

pub mod app;
mod clients;
pub mod config;
pub mod domain;
mod grpc;
mod measure;
mod metrics;
mod refresh;
mod resume;
pub mod store;
pub mod usecase;
