//! The broker: the topics of orders, and how an event gets there.

pub mod event;
pub mod publisher;
pub mod topics;
