//! The service `loms.Loms`: each RPC reads its request, has a use case do the work, and writes the answer.

use proto::loms::{
    CancelOrderRequest, CreateOrderRequest, CreateOrderResponse, ListOrderRequest, ListOrderResponse,
    ListOrdersRequest, ListOrdersResponse, OrderPayedRequest, StocksRequest, StocksResponse, loms_server::Loms,
};
use tonic::{Request, Response, Status};

use crate::usecase::{Orders, Stocks};

pub mod status;
pub mod wire;

pub struct Service {
    pub orders: Orders,
    pub stocks: Stocks,
}

#[tonic::async_trait]
impl Loms for Service {
    async fn create_order(
        &self,
        request: Request<CreateOrderRequest>,
    ) -> Result<Response<CreateOrderResponse>, Status> {
        let order = self.orders.create(wire::create_order(request.into_inner())?).await?;
        Ok(Response::new(CreateOrderResponse { order_id: order.get() }))
    }

    async fn list_order(&self, request: Request<ListOrderRequest>) -> Result<Response<ListOrderResponse>, Status> {
        let order = self.orders.show(wire::order(request.into_inner().order_id)?).await?;
        Ok(Response::new(wire::list_order_response(&order)))
    }

    async fn list_orders(&self, request: Request<ListOrdersRequest>) -> Result<Response<ListOrdersResponse>, Status> {
        let command = wire::list_orders(request.into_inner())?;
        let page = self.orders.list(&command).await?;
        Ok(Response::new(wire::list_orders_response(command.user, page)))
    }

    async fn order_payed(&self, request: Request<OrderPayedRequest>) -> Result<Response<()>, Status> {
        self.orders.pay(wire::order(request.into_inner().order_id)?).await?;
        Ok(Response::new(()))
    }

    async fn cancel_order(&self, request: Request<CancelOrderRequest>) -> Result<Response<()>, Status> {
        self.orders.cancel(wire::order(request.into_inner().order_id)?).await?;
        Ok(Response::new(()))
    }

    async fn stocks(&self, request: Request<StocksRequest>) -> Result<Response<StocksResponse>, Status> {
        let free = self.stocks.free(wire::stocks(request.into_inner())?).await?;
        Ok(Response::new(wire::stocks_response(&free)))
    }
}
