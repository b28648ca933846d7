//! The local fleet: what the services need around them on one machine, made from nothing and taken down again, for
//! people (`make run`) and for tests.

pub mod binaries;
pub mod broker;
pub mod catalogue;
pub mod certs;
pub mod collector;
pub mod demo;
mod files;
pub mod fleet;
pub mod graylog;
pub mod health;
pub mod packages;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod product_service;
pub mod prometheus;
pub mod signals;
mod standin;
pub mod telegram;
pub mod testing;
pub mod with;
