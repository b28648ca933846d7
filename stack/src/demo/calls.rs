//! The calls of the story: each is made through the public API, over TLS, and shown with its request and its answer.

use std::{fmt::Display, fs, path::Path};

use anyhow::{Context as _, bail};
use proto::{
    cart::{
        AddToCartRequest, DeleteFromCartRequest, ListCartRequest, ListCartResponse, PurchaseRequest, PurchaseResponse,
        cart_client::CartClient, cart_server::SERVICE_NAME as CART,
    },
    loms::{
        CancelOrderRequest, CreateOrderRequest, CreateOrderResponse, ListOrderRequest, ListOrderResponse, OrderItem,
        OrderPayedRequest, StocksRequest, StocksResponse, loms_client::LomsClient, loms_server::SERVICE_NAME as LOMS,
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
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};
use tonic_types::StatusExt as _;

use super::narrator;
use crate::{certs::CA_FILE, fleet::Addresses, product_service::TOKEN};

/// A request as a person would write it for grpcurl.
trait Shown {
    fn json(&self) -> Value;
}

macro_rules! shown {
    ($($request:ty: |$it:ident| $json:expr;)*) => {
        $(impl Shown for $request {
            fn json(&self) -> Value {
                let $it = self;
                $json
            }
        })*
    };
}

shown! {
    ListSkusRequest: |it| json!({"count": it.count, "start_after_sku": it.start_after_sku});
    GetProductRequest: |it| json!({"sku": it.sku});
    StocksRequest: |it| json!({"sku": it.sku});
    AddToCartRequest: |it| json!({"user": it.user, "sku": it.sku, "count": it.count});
    DeleteFromCartRequest: |it| json!({"user": it.user, "sku": it.sku, "count": it.count});
    ListCartRequest: |it| json!({"user": it.user});
    PurchaseRequest: |it| json!({"user": it.user, "idempotency_key": it.idempotency_key});
    CreateOrderRequest: |it| json!({
        "user": it.user,
        "items": it.items.iter().map(|item| json!({"sku": item.sku, "count": item.count})).collect::<Vec<_>>(),
    });
    ListOrderRequest: |it| json!({"orderID": it.order_id});
    OrderPayedRequest: |it| json!({"orderID": it.order_id});
    CancelOrderRequest: |it| json!({"orderID": it.order_id});
    GetHistoryWithPeriodRequest: |it| {
        let day = |date: &Option<proto::notifications::Date>| {
            date.map(|date| json!({"year": date.year, "month": date.month, "day": date.day}))
        };
        json!({"user": it.user, "from": day(&it.from), "to": day(&it.to)})
    };
}

/// What a call did: it answered, or it was refused.
pub enum Outcome<T> {
    /// The answer.
    Answered(T),
    /// The refusal's reason and text.
    Refused(String),
}

impl<T> Outcome<T> {
    /// The answer of a call that must succeed.
    pub fn answered(self) -> anyhow::Result<T> {
        match self {
            Self::Answered(answer) => Ok(answer),
            Self::Refused(refusal) => bail!("the call was refused: {refusal}"),
        }
    }

    /// Makes sure that the call was refused for this reason.
    pub fn refused_with(self, reason: &str) -> anyhow::Result<()> {
        match self {
            Self::Refused(refusal) if refusal.contains(reason) => Ok(()),
            Self::Refused(refusal) => bail!("expected the refusal {reason}, got {refusal}"),
            Self::Answered(_) => bail!("expected the refusal {reason}, but the call succeeded"),
        }
    }
}

fn outcome<T>(answer: Result<Response<T>, Status>, show: impl FnOnce(&T) -> String) -> anyhow::Result<Outcome<T>> {
    match answer {
        Ok(response) => {
            let answer = response.into_inner();
            narrator::answer(show(&answer));
            Ok(Outcome::Answered(answer))
        }
        Err(status) => {
            let Some(info) = status.get_details_error_info() else {
                return Err(status).context("the call failed");
            };
            let refusal = format!("{:?} {}: {}", status.code(), info.reason, status.message());
            narrator::answer(&refusal);
            Ok(Outcome::Refused(refusal))
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
    /// Checkout.
    pub cart: CartClient<Channel>,
    /// Logistics and order management.
    pub loms: LomsClient<Channel>,
    /// The history of messages.
    pub notifications: NotificationsClient<Channel>,
    /// The catalogue.
    pub products: ProductServiceClient<Channel>,
    /// The trace of the last call, as its answer named it.
    pub trace_id: String,
}

macro_rules! call {
    ($self:ident.$client:ident.$method:ident($request:expr), $service:ident, $name:literal, $show:expr) => {{
        let request = $request;
        narrator::call($service, $name, request.json());
        let answer = $self.$client.$method(request).await;
        $self.trace_id = trace_id(&answer);
        outcome(answer, $show)
    }};
}

impl Calls {
    /// Clients of a fleet; they connect at their first call.
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

    pub async fn add_to_cart(&mut self, user: i64, sku: u32, count: u32) -> anyhow::Result<Outcome<()>> {
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

    pub async fn purchase(&mut self, user: i64, key: &str) -> anyhow::Result<Outcome<PurchaseResponse>> {
        let request = PurchaseRequest { user, idempotency_key: key.into() };
        call!(self.cart.purchase(request), CART, "Purchase", |answer| format!("order {}", answer.order_id))
    }

    pub async fn create_order(
        &mut self,
        user: i64,
        sku: u32,
        count: u32,
    ) -> anyhow::Result<Outcome<CreateOrderResponse>> {
        let items = vec![OrderItem { sku, count }];
        let request = CreateOrderRequest { user, items, idempotency_key: String::new() };
        call!(self.loms.create_order(request), LOMS, "CreateOrder", |answer| format!("order {}", answer.order_id))
    }

    pub async fn list_order(&mut self, order_id: i64) -> anyhow::Result<ListOrderResponse> {
        call!(self.loms.list_order(ListOrderRequest { order_id }), LOMS, "ListOrder", |answer| answer.status.clone())?
            .answered()
    }

    pub async fn pay(&mut self, order_id: i64) -> anyhow::Result<Outcome<()>> {
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

/// A client of the LOMS on this port.
pub fn loms(certs: &Path, port: u16) -> anyhow::Result<LomsClient<Channel>> {
    Ok(LomsClient::new(channel(certs, port)?))
}

/// Shows the development client's certificate to servers that ask for one.
fn channel(certs: &Path, port: u16) -> anyhow::Result<Channel> {
    let read =
        |file: &str| fs::read(certs.join(file)).with_context(|| format!("cannot read {file} in {}", certs.display()));
    let tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read(CA_FILE)?))
        .identity(Identity::from_pem(read("client.pem")?, read("client.key")?));
    Ok(Endpoint::from_shared(format!("https://localhost:{port}"))?.tls_config(tls)?.connect_lazy())
}

/// Free units over all warehouses.
pub fn free(stocks: &StocksResponse) -> u64 {
    stocks.stocks.iter().map(|stock| stock.count).sum()
}

fn list<T: Display>(values: impl IntoIterator<Item = T>) -> String {
    values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().join(", ")
}
