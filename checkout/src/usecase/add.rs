//! Puts units of a SKU into a cart, if LOMS has as many to sell.

use platform::failure::Error;
use proto::ids::UserId;

use super::{
    Carts,
    batch::{Command, Outcome, unexpected},
};
use crate::domain::{Line, cart::AddRefusal};

#[derive(Debug, Clone, Copy)]
pub struct AddToCart {
    pub user: UserId,
    pub line: Line,
}

impl Carts {
    /// Adds the line. Stock is not reserved by it; only an order does that.
    pub async fn add(&self, command: AddToCart) -> Result<(), Error<AddRefusal>> {
        let available = self.loms.free_stock(command.line.sku).await?;
        let Outcome::Added(added) = self.batches.call(Command::Add(command, available)).await? else {
            return Err(unexpected().into());
        };
        added.map_err(Error::Refused)
    }
}
