//! The rules of orders and stock, as pure functions of their input: no database, no network, no clock.

pub mod inspected;
pub mod lines;
pub mod message;
pub mod order;
pub mod plan;
pub mod status;
pub mod stock;
pub mod stock_file;
pub mod transition;
pub mod unsent;
