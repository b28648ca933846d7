//! Identifiers and quantities of the marketplace, valid by construction: what holds one need not check it again.

use std::fmt;

/// A number outside the bounds of its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct OutOfBounds {
    pub bounds: Bounds,
    pub actual: i64,
}

/// The smallest and the largest number of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    pub low: i64,
    pub high: i64,
    /// Whether the type's own maximum is the bound, which only a number above it needs to be told of.
    pub is_open: bool,
}

impl fmt::Display for OutOfBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bounds: Bounds { low, high, is_open }, actual } = self;
        if *is_open && actual < low {
            write!(f, "must be above {}, is {actual}", low - 1)
        } else {
            write!(f, "must be from {low} to {high}, is {actual}")
        }
    }
}

/// Declares a number that cannot be outside its bounds: `bounded!(/** Doc */ Name(u32), 1..)`, or `1..=65_535`.
#[macro_export]
macro_rules! bounded {
    ($(#[$doc:meta])* $name:ident($inner:ty), $low:literal..) => {
        $crate::bounded!(@ $(#[$doc])* $name($inner), $low, <$inner>::MAX, true);
    };
    ($(#[$doc:meta])* $name:ident($inner:ty), $low:literal..=$high:literal) => {
        $crate::bounded!(@ $(#[$doc])* $name($inner), $low, $high, false);
    };
    (@ $(#[$doc:meta])* $name:ident($inner:ty), $low:literal, $high:expr, $is_open:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($inner);

        impl $name {
            pub const MIN: Self = Self($low);
            pub const MAX: Self = Self($high);

            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl TryFrom<i64> for $name {
            type Error = $crate::ids::OutOfBounds;

            fn try_from(value: i64) -> Result<Self, Self::Error> {
                #[allow(clippy::cast_lossless, reason = "the type is the caller's")]
                const BOUNDS: $crate::ids::Bounds =
                    $crate::ids::Bounds { low: $low, high: $high as i64, is_open: $is_open };
                <$inner>::try_from(value)
                    .ok()
                    .filter(|inner| ($low..=$high).contains(inner))
                    .map(Self)
                    .ok_or($crate::ids::OutOfBounds { bounds: BOUNDS, actual: value })
            }
        }

        impl From<$name> for i64 {
            fn from(value: $name) -> Self {
                Self::from(value.0)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

bounded!(
    /// A customer of the marketplace.
    UserId(i64), 1..
);
bounded!(
    /// An order in LOMS.
    OrderId(i64), 1..
);
bounded!(
    /// A warehouse that holds stock.
    WarehouseId(i64), 1..
);
bounded!(
    /// A stock keeping unit: one kind of product.
    Sku(u32), 1..
);
bounded!(
    /// How many units of one SKU somebody adds, removes, holds or orders.
    Count(u32), 1..=65_535
);

impl TryFrom<u32> for Sku {
    type Error = OutOfBounds;

    fn try_from(value: u32) -> Result<Self, OutOfBounds> {
        i64::from(value).try_into()
    }
}

impl TryFrom<u32> for Count {
    type Error = OutOfBounds;

    fn try_from(value: u32) -> Result<Self, OutOfBounds> {
        i64::from(value).try_into()
    }
}

/// The most SKUs that one cart or order holds.
pub const MAX_LINES: usize = 100;

/// A caller's name for one purchase or order, unique for its user: 1 to 128 bytes of printable ASCII.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

/// Why a text is no [`IdempotencyKey`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be at most 128 bytes of printable ASCII")]
pub struct BadIdempotencyKey;

impl IdempotencyKey {
    /// Reads the key of a request, in which the empty text stands for none.
    pub fn parse(text: String) -> Result<Option<Self>, BadIdempotencyKey> {
        if text.is_empty() {
            return Ok(None);
        }
        if text.len() > 128 || !text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Err(BadIdempotencyKey);
        }
        Ok(Some(Self(text)))
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_accepted_up_to_their_bounds_and_refused_beyond() {
        assert!(UserId::try_from(0).is_err());
        assert!(UserId::try_from(-1).is_err());
        assert_eq!(UserId::try_from(i64::MAX).map(UserId::get), Ok(i64::MAX));
        assert!(Sku::try_from(0u32).is_err());
        assert_eq!(Sku::try_from(u32::MAX).map(Sku::get), Ok(u32::MAX));
        assert!(Sku::try_from(i64::from(u32::MAX) + 1).is_err());
        assert!(Count::try_from(0u32).is_err());
        assert_eq!(Count::try_from(65_535u32).map(Count::get), Ok(65_535));
        assert_eq!(
            Count::try_from(65_536u32).map_err(|error| error.to_string()),
            Err("must be from 1 to 65535, is 65536".into())
        );
    }

    #[test]
    fn an_idempotency_key_is_printable_ascii_of_at_most_128_bytes() {
        assert_eq!(IdempotencyKey::parse(String::new()), Ok(None));
        assert!(IdempotencyKey::parse("k".repeat(128)).is_ok());
        assert!(IdempotencyKey::parse("k".repeat(129)).is_err());
        assert!(IdempotencyKey::parse("a\nb".into()).is_err());
        assert!(IdempotencyKey::parse("ключ".into()).is_err());
    }
}
