//! How much a cart may hold.
//!
//! What a pending purchase has set aside counts towards the cart's limits: if it is refused, its lines must fit back.

use std::collections::BTreeMap;

use proto::ids::{Count, MAX_LINES, Sku};

use super::Line;

/// What a user has: lines in the cart, and lines that a pending purchase has set aside.
#[derive(Debug, Default)]
pub struct Holdings {
    in_cart: BTreeMap<Sku, Count>,
    set_aside: BTreeMap<Sku, Count>,
}

/// Why units cannot be added to a cart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddRefusal {
    /// The user would have more than 100 SKUs.
    TooManySkus,
    /// The user would have more than 65,535 units of the SKU.
    TooManyUnits,
    /// The free stock does not cover what the cart would hold.
    InsufficientStock {
        sku: Sku,
        /// What the cart would hold.
        requested: Count,
        /// What is free over all warehouses.
        available: u64,
    },
}

/// Units of a SKU cannot be taken off a cart that holds none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotInCart(pub Sku);

impl Holdings {
    /// Each SKU is at most once in each.
    pub fn new(in_cart: &[Line], set_aside: &[Line]) -> Self {
        let by_sku = |lines: &[Line]| lines.iter().map(|line| (line.sku, line.count)).collect();
        Self { in_cart: by_sku(in_cart), set_aside: by_sku(set_aside) }
    }

    /// How many units of its SKU the cart holds once `added` is in it, when so many are `available`.
    pub fn add(&self, added: Line, available: u64) -> Result<Count, AddRefusal> {
        let Line { sku, count } = added;
        if !self.has(sku) && self.skus() >= MAX_LINES {
            return Err(AddRefusal::TooManySkus);
        }
        let units = |held: Option<&Count>| held.map_or(0, |count| count.get());
        let requested = units(self.in_cart.get(&sku)) + count.get();
        if requested + units(self.set_aside.get(&sku)) > Count::MAX.get() {
            return Err(AddRefusal::TooManyUnits);
        }
        let requested = Count::try_from(requested).map_err(|_| AddRefusal::TooManyUnits)?;
        if u64::from(requested.get()) > available {
            return Err(AddRefusal::InsufficientStock { sku, requested, available });
        }
        Ok(requested)
    }

    fn has(&self, sku: Sku) -> bool {
        self.in_cart.contains_key(&sku) || self.set_aside.contains_key(&sku)
    }

    fn skus(&self) -> usize {
        self.in_cart.len() + self.set_aside.keys().filter(|sku| !self.in_cart.contains_key(sku)).count()
    }
}

/// What is left of a line of `held` units when `removed` are taken off; `None` when the line goes.
pub fn remove(held: Count, removed: Count) -> Option<Count> {
    Count::try_from(held.get().saturating_sub(removed.get())).ok()
}

#[cfg(test)]
mod tests;
