//! Notes that the caller of a purchase without a key was told of its order: the next call on an empty cart is no
//! repetition any more.

use std::{collections::HashMap, sync::Arc};

use platform::failure::chain;
use proto::ids::UserId;
use tokio::sync::watch;
use tracing::warn;

use super::Carts;
use crate::{domain::purchase::PurchaseId, store::purchase};

/// How many notes are being written, by user. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Telling(Arc<watch::Sender<HashMap<UserId, usize>>>);

impl Telling {
    /// Waits until all is written down that the user was told of, so that a caller who is quick finds it.
    pub async fn until_told(&self, user: UserId) {
        // Waiting fails only when there is no sender, and this is one.
        let _ = self.0.subscribe().wait_for(|telling| !telling.contains_key(&user)).await;
    }

    fn begin(&self, user: UserId) {
        self.0.send_modify(|telling| *telling.entry(user).or_default() += 1);
    }

    fn end(&self, user: UserId) {
        self.0.send_modify(|telling| {
            if let Some(count) = telling.get_mut(&user) {
                *count -= 1;
                if *count == 0 {
                    telling.remove(&user);
                }
            }
        });
    }
}

impl Carts {
    /// To be called at the moment when the answer is on its way. The note is written in the background; if it is lost, the
    /// user's next call without a key may get the same order again.
    pub fn tell(&self, user: UserId, id: PurchaseId) {
        self.telling.begin(user);
        let carts = self.clone();
        tokio::spawn(async move {
            if let Err(failure) = purchase::mark_answered(&carts.database, id).await {
                warn!(purchase.id = %id.0, error = chain(&failure), "cannot note that a purchase was answered");
            }
            carts.telling.end(user);
        });
    }
}
