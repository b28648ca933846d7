//! What checkout does, a file each.

use std::time::Duration;

use platform::{batches::Batches, postgres::Database};

use crate::clients::loms::Loms;

pub mod add;
pub mod batch;
pub mod catalogue;
pub mod delete;
mod drive;
pub mod list;
pub mod purchase;
pub mod tell;

use batch::CartBatch;
use catalogue::Catalogue;
use tell::Telling;

/// The carts of all users, and the purchases that become of them. Clones work on the same ones.
#[derive(Clone)]
pub struct Carts {
    /// For what changes no cart.
    pub database: Database,
    pub batches: Batches<CartBatch>,
    /// Stock and orders.
    pub loms: Loms,
    /// Names and prices.
    pub catalogue: Catalogue,
    pub telling: Telling,
    /// How long after its call's deadline a purchase left in doubt is taken up by the background step.
    pub resume_after: Duration,
}
