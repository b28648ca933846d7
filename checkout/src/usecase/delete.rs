//! Takes units of a SKU off a cart.

use platform::failure::Error;
use proto::ids::UserId;

use super::{
    Carts,
    batch::{Command, Outcome, unexpected},
};
use crate::domain::{Line, cart::NotInCart};

#[derive(Debug, Clone, Copy)]
pub struct DeleteFromCart {
    pub user: UserId,
    /// What to take off; the line goes also when there is less of it.
    pub line: Line,
}

impl Carts {
    pub async fn delete(&self, command: DeleteFromCart) -> Result<(), Error<NotInCart>> {
        let Outcome::Deleted(deleted) = self.batches.call(Command::Delete(command)).await? else {
            return Err(unexpected().into());
        };
        deleted.map_err(Error::Refused)
    }
}
