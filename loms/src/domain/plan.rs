//! From which warehouses an order takes its units: all of it, or nothing.

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

/// Plans an order's reservations against the free stock.
///
/// A line is taken from the largest free stock first, of equal ones from the lowest warehouse, and so from as few
/// warehouses as can be. Of several short lines the one of the lowest SKU is named.
pub fn plan(lines: &Lines, free: &[FreeStock]) -> Result<Vec<Reservation>, Shortage> {
    let mut plan = Vec::with_capacity(lines.iter().len());
    for line in lines.iter() {
        plan.extend(plan_line(line, free)?);
    }
    Ok(plan)
}

fn plan_line(Line { sku, count }: Line, free: &[FreeStock]) -> Result<Vec<Reservation>, Shortage> {
    let mut candidates: Vec<_> = free.iter().filter(|free| free.sku == sku && free.units > 0).collect();
    let available = candidates.iter().map(|free| u64::from(free.units)).sum();
    if available < u64::from(count.get()) {
        return Err(Shortage { sku, requested: count, available });
    }
    candidates.sort_by_key(|free| (std::cmp::Reverse(free.units), free.warehouse));
    let mut missing = count.get();
    let mut reservations = Vec::new();
    for free in candidates {
        // A `Count` as long as anything is missing, as only warehouses with free units are candidates.
        let Ok(taken) = Count::try_from(missing.min(free.units)) else { break };
        missing -= taken.get();
        reservations.push(Reservation { warehouse: free.warehouse, sku, count: taken });
    }
    Ok(reservations)
}
