//! What one user has, a cart and purchases, and how the user's calls change it, one after the other.

use std::collections::BTreeMap;

use proto::ids::{Count, IdempotencyKey, OrderId, Sku, UserId};

use super::{
    Line,
    cart::{self, AddRefusal, Holdings, NotInCart},
    purchase::{Outcome, Pending, Purchase, PurchaseId},
};

/// A user's cart, and those purchases that a call may ask for.
#[derive(Debug)]
pub struct Account {
    user: UserId,
    cart: BTreeMap<Sku, Count>,
    purchases: Vec<Known>,
    /// The latest purchase without a key, unless a caller was told of its outcome.
    untold: Option<PurchaseId>,
}

/// A purchase as it stands; `None` if it was abandoned.
#[derive(Debug)]
struct Known {
    id: PurchaseId,
    key: Option<IdempotencyKey>,
    purchase: Option<Purchase>,
}

/// What a call that buys the cart finds.
#[derive(Debug, Clone)]
pub enum Found {
    /// The cart is set aside for this purchase now.
    Begun(Pending),
    /// The purchase that the call asks for, or has to wait for.
    Purchase(Purchase),
    /// The order of a purchase without a key whose caller was not told.
    Untold(PurchaseId, OrderId),
    NothingToBuy,
}

/// How a purchase is to end.
#[derive(Debug, Clone)]
pub enum End {
    Settled(Outcome),
    /// Its lines go back into the cart and nothing is left of it.
    Abandoned,
}

impl End {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Settled(Outcome::Ordered(_)) => "ordered",
            Self::Settled(Outcome::Refused(_)) => "refused",
            Self::Abandoned => "abandoned",
        }
    }
}

/// How a purchase ended.
#[derive(Debug, Clone)]
pub struct Ended {
    pub end: End,
    /// Whether another call has ended it before.
    pub is_old: bool,
}

/// The lines of a purchase do not fit back into the cart, although its limits leave room for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cart has no room for the lines of its purchase")]
pub struct NoRoom;

impl Account {
    pub fn new(user: UserId, cart: impl IntoIterator<Item = Line>) -> Self {
        let cart = cart.into_iter().map(|line| (line.sku, line.count)).collect();
        Self { user, cart, purchases: Vec::new(), untold: None }
    }

    /// Adds a purchase that there is.
    pub fn know(&mut self, id: PurchaseId, key: Option<IdempotencyKey>, purchase: Purchase) {
        if self.purchases.iter().all(|known| known.id != id) {
            self.purchases.push(Known { id, key, purchase: Some(purchase) });
        }
    }

    /// Notes that this purchase is the latest one without a key, and that no caller was told of its outcome.
    pub fn mark_untold(&mut self, id: PurchaseId) {
        self.untold = Some(id);
    }

    pub fn cart(&self) -> &BTreeMap<Sku, Count> {
        &self.cart
    }

    /// Adds a line to the cart, when so many units are `available`.
    pub fn add(&mut self, line: Line, available: u64) -> Result<(), AddRefusal> {
        let set_aside = self.pending().map_or(&[][..], |pending| &pending.lines);
        let count = Holdings::new(&self.lines(), set_aside).add(line, available)?;
        self.cart.insert(line.sku, count);
        Ok(())
    }

    /// Takes units off a line of the cart.
    pub fn delete(&mut self, Line { sku, count }: Line) -> Result<(), NotInCart> {
        let held = *self.cart.get(&sku).ok_or(NotInCart(sku))?;
        match cart::remove(held, count) {
            Some(left) => self.cart.insert(sku, left),
            None => self.cart.remove(&sku),
        };
        Ok(())
    }

    /// Finds the purchase that a call asks for or has to wait for, or else begins the one of this id.
    pub fn begin(&mut self, key: Option<&IdempotencyKey>, id: PurchaseId) -> Found {
        let mut of_key = self.purchases.iter().filter(|known| key.is_some() && known.key.as_ref() == key);
        if let Some(purchase) = of_key.find_map(|known| known.purchase.clone()) {
            return Found::Purchase(purchase);
        }
        if let Some(pending) = self.pending() {
            return Found::Purchase(Purchase::Pending(pending.clone()));
        }
        let lines = self.lines();
        if lines.is_empty() {
            // Without a key, an empty cart may mean that the caller tries again.
            let untold = if key.is_none() { self.untold_order() } else { None };
            return untold.map_or(Found::NothingToBuy, |(id, order)| Found::Untold(id, order));
        }
        self.cart.clear();
        if key.is_none() {
            self.untold = Some(id);
        }
        let pending = Pending { id, user: self.user, key: key.cloned(), lines };
        self.know(id, key.cloned(), Purchase::Pending(pending.clone()));
        Found::Begun(pending)
    }

    /// Ends a purchase. The lines of one that does not become an order go back into the cart.
    pub fn end(&mut self, id: PurchaseId, end: &End) -> Result<Ended, NoRoom> {
        let known = self.purchases.iter_mut().find(|known| known.id == id);
        let lines = match known.as_deref().and_then(|known| known.purchase.as_ref()) {
            None => return Ok(Ended { end: End::Abandoned, is_old: true }),
            Some(Purchase::Settled(outcome)) => {
                return Ok(Ended { end: End::Settled(outcome.clone()), is_old: true });
            }
            Some(Purchase::Pending(pending)) => pending.lines.clone(),
        };
        let purchase = match end {
            End::Settled(outcome) => Some(Purchase::Settled(outcome.clone())),
            End::Abandoned => None,
        };
        if !matches!(purchase, Some(Purchase::Settled(Outcome::Ordered(_)))) {
            for Line { sku, count } in lines {
                let held = self.cart.get(&sku).map_or(0, |held| held.get());
                self.cart.insert(sku, Count::try_from(held + count.get()).map_err(|_| NoRoom)?);
            }
        }
        if let Some(known) = known {
            known.purchase = purchase;
        }
        Ok(Ended { end: end.clone(), is_old: false })
    }

    fn lines(&self) -> Vec<Line> {
        self.cart.iter().map(|(&sku, &count)| Line { sku, count }).collect()
    }

    fn pending(&self) -> Option<&Pending> {
        self.purchases.iter().find_map(|known| match &known.purchase {
            Some(Purchase::Pending(pending)) => Some(pending),
            Some(Purchase::Settled(_)) | None => None,
        })
    }

    fn untold_order(&self) -> Option<(PurchaseId, OrderId)> {
        let known = self.purchases.iter().find(|known| Some(known.id) == self.untold)?;
        match known.purchase {
            Some(Purchase::Settled(Outcome::Ordered(order))) => Some((known.id, order)),
            Some(Purchase::Settled(Outcome::Refused(_)) | Purchase::Pending(_)) | None => None,
        }
    }
}
