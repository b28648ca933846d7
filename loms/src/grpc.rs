//! The service `loms.Loms`: each call is read, done, and answered.

use platform::ids::OrderId;
use proto::loms::{
    CancelOrderRequest, CreateOrderRequest, CreateOrderResponse, ListOrderRequest, ListOrderResponse,
    OrderPayedRequest, StocksRequest, StocksResponse, loms_server::Loms,
};
use tonic::{Request, Response, Status};

use crate::usecase::{Orders, Stocks};

pub mod status;
pub mod wire;

/// Answers the calls.
pub struct Service {
    orders: Orders,
    stocks: Stocks,
}

impl Service {
    /// Answers calls about these orders and stocks.
    pub fn new(orders: Orders, stocks: Stocks) -> Self {
        Self { orders, stocks }
    }
}

#[tonic::async_trait]
impl Loms for Service {
    async fn create_order(
        &self,
        request: Request<CreateOrderRequest>,
    ) -> Result<Response<CreateOrderResponse>, Status> {
        let command = wire::create_order(request.into_inner())?;
        let order = self.orders.create(&command).await.map_err(status::create_order)?;
        Ok(Response::new(CreateOrderResponse { order_id: order.get() }))
    }

    async fn list_order(&self, request: Request<ListOrderRequest>) -> Result<Response<ListOrderResponse>, Status> {
        let id = request.into_inner().order_id;
        let order = self.orders.show(order(id)?).await?;
        Ok(Response::new(wire::list_order(order.ok_or_else(|| status::order_not_found(id))?)))
    }

    async fn order_payed(&self, request: Request<OrderPayedRequest>) -> Result<Response<()>, Status> {
        let id = request.into_inner().order_id;
        self.orders.pay(order(id)?).await.map_err(|error| status::pay(id, error))?;
        Ok(Response::new(()))
    }

    async fn cancel_order(&self, request: Request<CancelOrderRequest>) -> Result<Response<()>, Status> {
        let id = request.into_inner().order_id;
        self.orders.cancel(order(id)?).await.map_err(|error| status::cancel(id, error))?;
        Ok(Response::new(()))
    }

    async fn stocks(&self, request: Request<StocksRequest>) -> Result<Response<StocksResponse>, Status> {
        let sku = wire::stocks_of(request.into_inner())?;
        Ok(Response::new(wire::stocks(self.stocks.free(sku).await?)))
    }
}

/// A number that no order can have names an order that does not exist.
fn order(id: i64) -> Result<OrderId, Status> {
    OrderId::try_from(id).map_err(|_| status::order_not_found(id))
}
