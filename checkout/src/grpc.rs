//! `cart.Cart`: each RPC reads its request, has the use case do the work, and writes the reply.

mod status;
mod wire;

use std::time::Duration;

use proto::cart::{
    AddToCartRequest, DeleteFromCartRequest, ListCartRequest, ListCartResponse, PurchaseRequest, PurchaseResponse,
    cart_server,
};
use tonic::{Request, Response, Status};

use crate::{
    clients::{loms::Loms, products::Products},
    store::Store,
    usecase::{add_to_cart::add_to_cart, delete_from_cart::delete_from_cart, list_cart::list_cart, purchase::purchase},
};

/// Answers the calls.
pub struct Cart {
    /// Carts and purchases.
    pub store: Store,
    /// Stock and orders.
    pub loms: Loms,
    /// Names and prices.
    pub products: Products,
    /// How long after its call's deadline a purchase left in doubt is resumed.
    pub resume_after: Duration,
}

#[tonic::async_trait]
impl cart_server::Cart for Cart {
    async fn add_to_cart(&self, request: Request<AddToCartRequest>) -> Result<Response<()>, Status> {
        let command = wire::add_to_cart(&request.into_inner())?;
        add_to_cart(&self.store, &self.loms, command).await.map_err(|error| status::add_to_cart(error, command))?;
        Ok(Response::new(()))
    }

    async fn delete_from_cart(&self, request: Request<DeleteFromCartRequest>) -> Result<Response<()>, Status> {
        let command = wire::delete_from_cart(&request.into_inner())?;
        delete_from_cart(&self.store, command).await.map_err(|error| status::delete_from_cart(error, command))?;
        Ok(Response::new(()))
    }

    async fn list_cart(&self, request: Request<ListCartRequest>) -> Result<Response<ListCartResponse>, Status> {
        let user = wire::list_cart(&request.into_inner())?;
        let lines = list_cart(&self.store, &self.products, user).await.map_err(status::list_cart)?;
        Ok(Response::new(wire::listed(&lines)))
    }

    async fn purchase(&self, request: Request<PurchaseRequest>) -> Result<Response<PurchaseResponse>, Status> {
        let command = wire::purchase(request.into_inner())?;
        let order = purchase(&self.store, &self.loms, self.resume_after, command).await.map_err(status::purchase)?;
        Ok(Response::new(PurchaseResponse { order_id: order.get() }))
    }
}
