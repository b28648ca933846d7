//! Notifications: reads what becomes of orders from Kafka, keeps it as each user's history, and tells it on Telegram.

pub mod app;
mod clients;
mod commands;
pub mod config;
mod deliver;
pub mod domain;
mod grpc;
mod measure;
mod metrics;
mod read;
mod store;
mod usecase;
