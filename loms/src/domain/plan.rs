//! From which warehouses an order takes its units: all of it, or nothing.

use std::{cmp::Reverse, collections::HashMap};

use proto::ids::{Count, Sku, WarehouseId};

use super::lines::{Line, Lines};

/// The free units of one SKU in one warehouse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreeStock {
    pub warehouse: WarehouseId,
    pub sku: Sku,
    /// On hand less reserved.
    pub units: u32,
}

/// Units of one SKU that one warehouse reserves for an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reservation {
    pub warehouse: WarehouseId,
    pub sku: Sku,
    pub count: Count,
}

/// A line that free stock does not cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    pub sku: Sku,
    pub requested: Count,
    /// How many units are free, in all warehouses together.
    pub available: u64,
}

/// The free stock that orders are planned against, one after the other.
#[derive(Debug, Default)]
pub struct Free(HashMap<Sku, Vec<FreeStock>>);

impl FromIterator<FreeStock> for Free {
    fn from_iter<I: IntoIterator<Item = FreeStock>>(stock: I) -> Self {
        let mut free = Self::default();
        for stock in stock {
            free.0.entry(stock.sku).or_default().push(stock);
        }
        free
    }
}

impl Free {
    /// Plans an order's reservations. Its units are not free any more for the next order; an order that is short takes
    /// none.
    ///
    /// A line is taken from the largest free stock first, of equal ones from the lowest warehouse, and so from as few
    /// warehouses as can be. Of several short lines the one of the lowest SKU is named.
    pub fn plan(&mut self, lines: &Lines) -> Result<Vec<Reservation>, Shortage> {
        for Line { sku, count } in lines.iter() {
            let available = self.0.get(&sku).into_iter().flatten().map(|free| u64::from(free.units)).sum();
            if available < u64::from(count.get()) {
                return Err(Shortage { sku, requested: count, available });
            }
        }
        Ok(lines.iter().flat_map(|line| self.take(line)).collect())
    }

    /// There must be enough.
    fn take(&mut self, Line { sku, count }: Line) -> Vec<Reservation> {
        let mut candidates: Vec<_> = self.0.get_mut(&sku).into_iter().flatten().collect();
        candidates.sort_by_key(|free| (Reverse(free.units), free.warehouse));
        let mut missing = count.get();
        let mut reservations = Vec::new();
        for free in candidates {
            // A `Count` as long as anything is missing and the warehouse has any.
            let Ok(taken) = Count::try_from(missing.min(free.units)) else { break };
            missing -= taken.get();
            free.units -= taken.get();
            reservations.push(Reservation { warehouse: free.warehouse, sku, count: taken });
        }
        reservations
    }
}
