//! The service `cart.Cart`: each RPC reads its request, has a use case do the work, and writes the answer.

use platform::grpc::answer::OnTaken;
use proto::cart::{
    AddToCartRequest, DeleteFromCartRequest, ListCartRequest, ListCartResponse, PurchaseRequest, PurchaseResponse,
    cart_server::Cart,
};
use tonic::{Request, Response, Status};

use crate::usecase::{Carts, purchase::Bought};

pub mod status;
mod wire;

pub struct Service {
    pub carts: Carts,
}

#[tonic::async_trait]
impl Cart for Service {
    async fn add_to_cart(&self, request: Request<AddToCartRequest>) -> Result<Response<()>, Status> {
        self.carts.add(wire::add_to_cart(request.into_inner())?).await?;
        Ok(Response::new(()))
    }

    async fn delete_from_cart(&self, request: Request<DeleteFromCartRequest>) -> Result<Response<()>, Status> {
        self.carts.delete(wire::delete_from_cart(request.into_inner())?).await?;
        Ok(Response::new(()))
    }

    async fn list_cart(&self, request: Request<ListCartRequest>) -> Result<Response<ListCartResponse>, Status> {
        let lines = self.carts.list(wire::list_cart(request.into_inner())?).await?;
        Ok(Response::new(wire::list_cart_response(&lines)))
    }

    async fn purchase(&self, request: Request<PurchaseRequest>) -> Result<Response<PurchaseResponse>, Status> {
        let command = wire::purchase(request.into_inner())?;
        let user = command.user;
        let Bought { order, untold } = self.carts.purchase(command).await?;
        let mut response = Response::new(PurchaseResponse { order_id: order.get() });
        if let Some(id) = untold {
            let carts = self.carts.clone();
            response.extensions_mut().insert(OnTaken::new(move || carts.tell(user, id)));
        }
        Ok(response)
    }
}
