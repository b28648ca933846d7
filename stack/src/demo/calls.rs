//! The calls of the story. Each goes through the public API, over TLS, and prints its request and its answer.

use std::{fmt::Display, path::Path};

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
use serde_json::{Value, json};
use tonic::{
    Response, Status,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

use super::narrator;
use crate::{certs, fleet::Addresses, product_service::TOKEN};

/// A request in the JSON that a person would give to grpcurl.
trait GrpcurlRequest {
    fn json(&self) -> Value;
}

macro_rules! grpcurl_requests {
    ($($type:ty: |$request:ident| $json:expr;)*) => {
        $(impl GrpcurlRequest for $type {
            fn json(&self) -> Value {
                let $request = self;
                $json
            }
        })*
    };
}

grpcurl_requests! {
    ListSkusRequest: |request| {
        json!({"token": request.token, "count": request.count, "start_after_sku": request.start_after_sku})
    };
    GetProductRequest: |request| json!({"token": request.token, "sku": request.sku});
    StocksRequest: |request| json!({"sku": request.sku});
    AddToCartRequest: |request| json!({"user": request.user, "sku": request.sku, "count": request.count});
    DeleteFromCartRequest: |request| json!({"user": request.user, "sku": request.sku, "count": request.count});
    ListCartRequest: |request| json!({"user": request.user});
    PurchaseRequest: |request| json!({"user": request.user, "idempotency_key": request.idempotency_key});
    CreateOrderRequest: |request| json!({
        "user": request.user,
        "items": request.items.iter().map(|item| json!({"sku": item.sku, "count": item.count})).collect::<Vec<_>>(),
    });
    ListOrderRequest: |request| json!({"orderID": request.order_id});
    ListOrdersRequest: |request| json!({"user": request.user});
    OrderPayedRequest: |request| json!({"orderID": request.order_id});
    CancelOrderRequest: |request| json!({"orderID": request.order_id});
    GetHistoryWithPeriodRequest: |request| {
        let day = |date: &Option<proto::notifications::Date>| {
            date.map(|date| json!({"year": date.year, "month": date.month, "day": date.day}))
        };
        json!({"user": request.user, "from": day(&request.from), "to": day(&request.to)})
    };
}

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
            let refusal = format!("{:?} {}: {}", status.code(), info.reason, status.message());
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
    pub cart: CartClient<Channel>,
    pub loms: LomsClient<Channel>,
    pub notifications: NotificationsClient<Channel>,
    pub products: ProductServiceClient<Channel>,
    /// The trace id in the answer to the last call.
    pub trace_id: String,
}

macro_rules! call {
    ($self:ident.$client:ident.$method:ident($request:expr), $service:ident, $name:literal, $show:expr) => {{
        let request = $request;
        narrator::call($service, $name, request.json());
        let answer = $self.$client.$method(request).await;
        $self.trace_id = trace_id(&answer);
        reply(answer, $show)
    }};
}

impl Calls {
    /// The clients connect at their first call.
    pub fn new(fleet: &Addresses) -> anyhow::Result<Self> {
        let channel = |port| channel(&fleet.certs, port);
        Ok(Self {
            cart: CartClient::new(channel(fleet.checkout.grpc.port())?),
            loms: loms(&fleet.certs, fleet.loms.grpc.port())?,
            notifications: NotificationsClient::new(channel(fleet.notifications.grpc.port())?),
            products: ProductServiceClient::new(channel(fleet.product_service.port())?),
            trace_id: String::new(),
        })
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

pub fn loms(certs: &Path, port: u16) -> anyhow::Result<LomsClient<Channel>> {
    Ok(LomsClient::new(channel(certs, port)?))
}

fn channel(certs: &Path, port: u16) -> anyhow::Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("https://localhost:{port}"))?;
    Ok(endpoint.tls_config(certs::client_tls(certs)?)?.connect_lazy())
}

/// The free units in all warehouses together.
pub fn free(stocks: &StocksResponse) -> u64 {
    stocks.stocks.iter().map(|stock| stock.count).sum()
}

fn list<T: Display>(values: impl IntoIterator<Item = T>) -> String {
    values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().join(", ")
}
