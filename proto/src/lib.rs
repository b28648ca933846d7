//! What the services agree on: the messages, clients and servers that are generated from the `.proto` files, one module
//! a package, and beside them identifiers, order events with their topics, the pages of what is listed, the reasons of
//! refusals, and the OpenAPI documents.

pub mod event;
pub mod ids;
pub mod openapi;
pub mod page;
pub mod refusal;

use chrono::{DateTime, Utc};

macro_rules! generated {
    ($($(#[$doc:meta])* $name:ident = $package:literal;)*) => {
        $($(#[$doc])*
        #[allow(clippy::all, clippy::wildcard_enum_match_arm, reason = "generated code")]
        pub mod $name {
            tonic::include_proto!($package);
        })*
    };
}

generated! {
    /// `cart.Cart`, served by checkout.
    cart = "cart";
    /// `loms.Loms`, served by loms.
    loms = "loms";
    /// `notifications.Notifications`, served by notifications.
    notifications = "notifications";
    /// `route256.product.ProductService`, an external service.
    product = "route256.product";
}

/// The descriptors of all `.proto` files, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// A moment as messages carry it.
pub fn timestamp(moment: DateTime<Utc>) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: moment.timestamp(),
        // Below 2^31, also in a leap second.
        nanos: moment.timestamp_subsec_nanos().cast_signed(),
    }
}
