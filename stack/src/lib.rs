//! The local fleet: starts the services, and everything that they need, on one machine. People run it with `make run`;
//! tests start the same parts one by one.

pub mod alertmanager;
pub mod bench;
pub mod binaries;
pub mod broker;
pub mod catalogue;
pub mod certs;
pub mod collector;
pub mod demo;
pub mod doors;
mod files;
pub mod fleet;
pub mod graylog;
pub mod health;
pub mod kafka;
pub mod load;
pub mod packages;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod product_service;
pub mod prometheus;
mod scrape;
pub mod signals;
mod standin;
pub mod status;
pub mod telegram;
pub mod terminal;
pub mod testing;
pub mod with;

/// Gets a line of text before each step of something that takes long.
pub type Say<'a> = &'a mut (dyn FnMut(&str) + Send);
