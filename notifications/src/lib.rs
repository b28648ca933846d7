//! Notifications: reads what becomes of orders from Kafka, keeps it as each user's history, and tells it on Telegram.

pub mod app;
mod clients;
pub mod config;
mod consume;
mod deliver;
mod domain;
mod grpc;
mod kafka;
mod measure;
mod metrics;
pub mod pause;
mod store;
mod usecase;
