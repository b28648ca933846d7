//! What checkout does: a room for each call, and one for bringing a purchase to its end.

pub mod add_to_cart;
pub mod delete_from_cart;
pub mod drive_purchase;
pub mod list_cart;
pub mod purchase;
