//! What the services answer over HTTP, as OpenAPI documents.

pub const CART: &str = "{}";
pub const LOMS: &str = "{}";
pub const NOTIFICATIONS: &str = "{}";
