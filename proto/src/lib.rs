//! Messages, clients and servers generated from the `.proto` files beside this crate, one module a package.
#![allow(missing_docs, reason = "generated code carries the comments of its .proto file")]
#![allow(clippy::all, clippy::wildcard_enum_match_arm, reason = "generated code")]

/// `cart.Cart`, served by checkout.
pub mod cart {
    tonic::include_proto!("cart");
}

/// `loms.Loms`, served by loms.
pub mod loms {
    tonic::include_proto!("loms");
}

/// `notifications.Notifications`, served by notifications.
pub mod notifications {
    tonic::include_proto!("notifications");
}

/// `route256.product.ProductService`, an external service.
pub mod product {
    tonic::include_proto!("route256.product");
}

/// The descriptors of all files above, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
