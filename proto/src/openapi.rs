//! OpenAPI 3.1 documents of the services as they are called over HTTP, in JSON: made from the `.proto` files, their
//! comments and options, when this crate is built (`build/openapi.rs`).

/// Of `cart.Cart`.
pub const CART: &str = include_str!(concat!(env!("OUT_DIR"), "/cart.openapi.json"));
/// Of `loms.Loms`.
pub const LOMS: &str = include_str!(concat!(env!("OUT_DIR"), "/loms.openapi.json"));
/// Of `notifications.Notifications`.
pub const NOTIFICATIONS: &str = include_str!(concat!(env!("OUT_DIR"), "/notifications.openapi.json"));
