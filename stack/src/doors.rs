//! Connections to the services at either of their doors, gRPC or HTTP/JSON, beneath the same generated clients: what is
//! told, asked or measured at the one can be so at the other.

mod json;
mod methods;

use std::{
    path::Path,
    task::{Context, Poll},
};

use anyhow::Context as _;
use axum::http;
use clap::ValueEnum;
use futures::{
    FutureExt as _, TryFutureExt as _,
    future::{BoxFuture, Either, MapErr},
};
use tonic::{
    body::Body,
    client::GrpcService,
    codegen::StdError,
    transport::{self, Channel, Endpoint, channel::ResponseFuture},
};

pub use json::{JsonDoor, Told};
pub use methods::Methods;

use crate::certs;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Door {
    Grpc,
    /// HTTP/JSON.
    Json,
}

/// A connection to a service, which begins with the first call. Clones share it.
#[derive(Debug, Clone)]
pub enum Connection {
    Grpc(Channel),
    Json(JsonDoor),
}

impl Connection {
    /// An address that begins with `http://` is spoken to in plaintext. `certs` is the directory of the certificates.
    pub fn new(door: Door, url: &str, certs: &Path) -> anyhow::Result<Self> {
        match door {
            Door::Grpc => {
                let endpoint = Endpoint::from_shared(url.to_owned()).with_context(|| format!("{url} is no address"))?;
                let endpoint = endpoint.tcp_nodelay(true);
                let is_plain = !url.starts_with("https://");
                let endpoint = if is_plain { endpoint } else { endpoint.tls_config(certs::client_tls(certs)?)? };
                Ok(Self::Grpc(endpoint.connect_lazy()))
            }
            Door::Json => Ok(Self::Json(JsonDoor::new(url, certs)?)),
        }
    }
}

impl GrpcService<Body> for Connection {
    type ResponseBody = Body;
    type Error = StdError;
    type Future = Either<
        MapErr<ResponseFuture, fn(transport::Error) -> StdError>,
        BoxFuture<'static, Result<http::Response<Body>, StdError>>,
    >;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StdError>> {
        match self {
            Self::Grpc(channel) => GrpcService::poll_ready(channel, context).map_err(Into::into),
            Self::Json(_) => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        match self {
            Self::Grpc(channel) => {
                let into: fn(transport::Error) -> StdError = Into::into;
                Either::Left(GrpcService::call(channel, request).map_err(into))
            }
            Self::Json(door) => {
                let door = door.clone();
                Either::Right(async move { Ok(door.call(request).await?) }.boxed())
            }
        }
    }
}
