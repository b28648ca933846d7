//! The calls of the story. Each goes through the public API, over TLS, by the door that the story is told by, and prints its
//! request and its answer.

use std::{error::Error as _, fmt::Display};

use anyhow::{Context as _, bail};
use proto::{
    cart::{
        AddToCartRequest, DeleteFromCartRequest, ListCartRequest, ListCartResponse, PurchaseRequest, PurchaseResponse,
        cart_client::CartClient, cart_server::SERVICE_NAME as CART,
    },
    loms::{
        CancelOrderRequest, CreateOrderRequest, CreateOrderResponse, ListOrderRequest, ListOrderResponse,
        ListOrdersRequest, ListOrdersResponse, OrderItem, OrderPayedRequest, StocksRequest, StocksResponse,
        loms_client::LomsClient, loms_server::SERVICE_NAME as LOMS,
    },
    notifications::{
        GetHistoryWithPeriodRequest, GetHistoryWithPeriodResponse, notifications_client::NotificationsClient,
        notifications_server::SERVICE_NAME as NOTIFICATIONS,
    },
    product::{
        GetProductRequest, GetProductResponse, ListSkusRequest, ListSkusResponse,
        product_service_client::ProductServiceClient, product_service_server::SERVICE_NAME as PRODUCTS,
    },
};
use tonic::{Response, Status};
use tonic_types::StatusExt as _;

use super::{narrator, words::Words};
use crate::{
    doors::{Connection, Door, Told},
    fleet::{Addresses, Replica, ServiceAddresses},
    product_service::TOKEN,
};

pub enum Reply<T> {
    Answered(T),
    /// The reason and the text of the refusal.
    Refused(String),
}

impl<T> Reply<T> {
    /// Fails if the call was refused.
    pub fn answered(self) -> anyhow::Result<T> {
        match self {
            Self::Answered(answer) => Ok(answer),
            Self::Refused(refusal) => bail!("the call was refused: {refusal}"),
        }
    }

    /// Fails unless the call was refused for this reason.
    pub fn refused_with(self, reason: &str) -> anyhow::Result<()> {
        match self {
            Self::Refused(refusal) if refusal.contains(reason) => Ok(()),
            Self::Refused(refusal) => bail!("expected the refusal {reason}, got {refusal}"),
            Self::Answered(_) => bail!("expected the refusal {reason}, but the call succeeded"),
        }
    }
}

/// Prints the answer or the refusal. An error without details is no refusal: the call failed.
fn reply<T>(answer: Result<Response<T>, Status>, show: impl FnOnce(&T) -> String) -> anyhow::Result<Reply<T>> {
    match answer {
        Ok(response) => {
            let answer = response.into_inner();
            narrator::answer(show(&answer));
            Ok(Reply::Answered(answer))
        }
        Err(status) => {
            let Some(info) = status.get_details_error_info() else {
                return Err(status).context("the call failed");
            };
            let over_http = status.source().and_then(|source| source.downcast_ref::<Told>()).map(Told::to_string);
            let by_grpc = || format!("{:?} {}: {}", status.code(), info.reason, status.message());
            let refusal = over_http.unwrap_or_else(by_grpc);
            narrator::refusal(&refusal);
            Ok(Reply::Refused(refusal))
        }
    }
}

fn trace_id<T>(answer: &Result<Response<T>, Status>) -> String {
    let metadata = answer.as_ref().map_or_else(Status::metadata, Response::metadata);
    metadata.get("x-trace-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned()
}

fn ok<T>(_: &T) -> String {
    "OK".to_owned()
}

/// Clients of everything that the story talks to.
#[derive(Clone)]
pub struct Calls {
    cart: CartClient<Connection>,
    loms: LomsClient<Connection>,
    notifications: NotificationsClient<Connection>,
    products: ProductServiceClient<Connection>,
    words: Words,
    /// The trace id in the answer to the last call.
    pub trace_id: String,
}

macro_rules! call {
    ($self:ident.$client:ident.$method:ident($request:expr), $service:ident, $name:literal, $show:expr) => {{
        let request = $request;
        $self.words.tell($service, $name, &request)?;
        let answer = $self.$client.$method(request).await;
        $self.trace_id = trace_id(&answer);
        reply(answer, $show)
    }};
}

impl Calls {
    /// The clients connect at their first call.
    pub fn new(fleet: &Addresses, door: Door) -> anyhow::Result<Self> {
        let connect = |service: &ServiceAddresses| Connection::new(door, &service.url_at(door), &fleet.certs);
        let products = format!("https://localhost:{}", fleet.product_service.port());
        Ok(Self {
            cart: CartClient::new(connect(&fleet.checkout)?),
            loms: LomsClient::new(connect(&fleet.loms)?),
            notifications: NotificationsClient::new(connect(&fleet.notifications)?),
            products: ProductServiceClient::new(Connection::new(Door::Grpc, &products, &fleet.certs)?),
            words: Words::new(fleet, door)?,
            trace_id: String::new(),
        })
    }

    /// The same with another LOMS. What is shown is what the reader can repeat: a call to that of the fleet.
    pub fn with(&self, loms: &Replica, fleet: &Addresses, door: Door) -> anyhow::Result<Self> {
        let port = match door {
            Door::Grpc => loms.port,
            Door::Json => loms.http.port(),
        };
        let connection = Connection::new(door, &format!("https://localhost:{port}"), &fleet.certs)?;
        Ok(Self { loms: LomsClient::new(connection), ..self.clone() })
    }

    /// The status of an order, of which nothing is told.
    pub async fn status_of(&self, order_id: i64) -> anyhow::Result<String> {
        Ok(self.loms.clone().list_order(ListOrderRequest { order_id }).await?.into_inner().status)
    }

    pub async fn list_skus(&mut self, count: u32) -> anyhow::Result<ListSkusResponse> {
        let request = ListSkusRequest { token: TOKEN.into(), start_after_sku: 0, count };
        call!(self.products.list_skus(request), PRODUCTS, "ListSkus", |answer| list(&answer.skus))?.answered()
    }

    pub async fn product(&mut self, sku: u32) -> anyhow::Result<GetProductResponse> {
        let request = GetProductRequest { token: TOKEN.into(), sku };
        call!(self.products.get_product(request), PRODUCTS, "GetProduct", |answer| {
            format!("{}, {} each", answer.name, answer.price)
        })?
        .answered()
    }

    pub async fn stocks(&mut self, sku: u32) -> anyhow::Result<StocksResponse> {
        call!(self.loms.stocks(StocksRequest { sku }), LOMS, "Stocks", |answer: &StocksResponse| {
            let by_warehouse: Vec<_> = answer
                .stocks
                .iter()
                .map(|stock| format!("{} in warehouse {}", stock.count, stock.warehouse_id))
                .collect();
            format!("{} free: {}", free(answer), by_warehouse.join(", "))
        })?
        .answered()
    }

    pub async fn add_to_cart(&mut self, user: i64, sku: u32, count: u32) -> anyhow::Result<Reply<()>> {
        call!(self.cart.add_to_cart(AddToCartRequest { user, sku, count }), CART, "AddToCart", ok)
    }

    pub async fn delete_from_cart(&mut self, user: i64, sku: u32, count: u32) -> anyhow::Result<()> {
        call!(self.cart.delete_from_cart(DeleteFromCartRequest { user, sku, count }), CART, "DeleteFromCart", ok)?
            .answered()
    }

    pub async fn list_cart(&mut self, user: i64) -> anyhow::Result<ListCartResponse> {
        call!(self.cart.list_cart(ListCartRequest { user }), CART, "ListCart", |answer: &ListCartResponse| {
            let lines: Vec<_> =
                answer.items.iter().map(|item| format!("{} × {} at {}", item.count, item.name, item.price)).collect();
            if lines.is_empty() {
                "empty".into()
            } else {
                format!("{}; {} in all", lines.join(", "), answer.total_price)
            }
        })?
        .answered()
    }

    pub async fn purchase(&mut self, user: i64, key: &str) -> anyhow::Result<Reply<PurchaseResponse>> {
        let request = PurchaseRequest { user, idempotency_key: key.into() };
        call!(self.cart.purchase(request), CART, "Purchase", |answer| format!("order {}", answer.order_id))
    }

    pub async fn create_order(
        &mut self,
        user: i64,
        sku: u32,
        count: u32,
    ) -> anyhow::Result<Reply<CreateOrderResponse>> {
        let items = vec![OrderItem { sku, count }];
        let request = CreateOrderRequest { user, items, idempotency_key: String::new() };
        call!(self.loms.create_order(request), LOMS, "CreateOrder", |answer| format!("order {}", answer.order_id))
    }

    pub async fn list_order(&mut self, order_id: i64) -> anyhow::Result<ListOrderResponse> {
        call!(self.loms.list_order(ListOrderRequest { order_id }), LOMS, "ListOrder", |answer| answer.status.clone())?
            .answered()
    }

    pub async fn list_orders(&mut self, user: i64) -> anyhow::Result<ListOrdersResponse> {
        let request = ListOrdersRequest { user, ..Default::default() };
        call!(self.loms.list_orders(request), LOMS, "ListOrders", |answer| {
            list(answer.orders.iter().map(|order| format!("order {} {}", order.order_id, order.status)))
        })?
        .answered()
    }

    pub async fn pay(&mut self, order_id: i64) -> anyhow::Result<Reply<()>> {
        call!(self.loms.order_payed(OrderPayedRequest { order_id }), LOMS, "OrderPayed", ok)
    }

    pub async fn cancel(&mut self, order_id: i64) -> anyhow::Result<()> {
        call!(self.loms.cancel_order(CancelOrderRequest { order_id }), LOMS, "CancelOrder", ok)?.answered()
    }

    pub async fn history(
        &mut self,
        request: GetHistoryWithPeriodRequest,
    ) -> anyhow::Result<GetHistoryWithPeriodResponse> {
        call!(self.notifications.get_history_with_period(request), NOTIFICATIONS, "GetHistoryWithPeriod", |answer| {
            list(answer.messages.iter().map(|message| format!("“{}”", message.message)))
        })?
        .answered()
    }
}

/// The free units in all warehouses together.
pub fn free(stocks: &StocksResponse) -> u64 {
    stocks.stocks.iter().map(|stock| stock.count).sum()
}

fn list<T: Display>(values: impl IntoIterator<Item = T>) -> String {
    values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().join(", ")
}
