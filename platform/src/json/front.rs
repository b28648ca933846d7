//! Before and behind everything that is answered over HTTP. A page of another origin gets no call through, whether or not
//! its browser asked before; and what a caller still sends is taken, so that he reads what he is answered.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, Response, StatusCode, Uri,
        header::{HOST, ORIGIN},
    },
    middleware::Next,
};
use futures::stream;
use http_body_util::BodyExt as _;
use tokio::{sync::Mutex, time::timeout};
use tonic::Status;

use super::refusals;

/// What is taken of a request that is answered before it has come, and how long each piece of it may take.
const MOST_BYTES: usize = 4 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_millis(100);

pub(super) async fn door(State(allowed): State<Arc<Vec<HeaderValue>>>, request: Request, next: Next) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let is_foreign = parts
        .headers
        .get(ORIGIN)
        .is_some_and(|origin| !allowed.contains(origin) && !is_own(origin, &parts.headers, &parts.uri));
    // Shared, as whoever answers leaves it where it is.
    let body = Arc::new(Mutex::new(body));
    let answer = if is_foreign {
        let text = "pages of this origin may not call; http.cors.allowed_origins names those that may";
        refusals::answer(StatusCode::FORBIDDEN, &Status::permission_denied(text))
    } else {
        let frames = stream::unfold(Arc::clone(&body), async |body| {
            let data = body.lock().await.frame().await?.map(|frame| frame.into_data().unwrap_or_default());
            Some((data, body))
        });
        next.run(Request::from_parts(parts, Body::from_stream(frames))).await
    };
    // An answer to a request that is not read resets its stream, and some clients take that for a fault.
    drain(&mut *body.lock().await).await;
    answer
}

/// Whether a page of this service asks.
fn is_own(origin: &HeaderValue, headers: &HeaderMap, uri: &Uri) -> bool {
    let host = uri.authority().map(|authority| authority.as_str());
    let host = host.or_else(|| headers.get(HOST)?.to_str().ok());
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    origin.is_some_and(|(_, authority)| host.is_some_and(|host| host.eq_ignore_ascii_case(authority)))
}

async fn drain(body: &mut Body) {
    let mut taken = 0;
    while let Ok(Some(Ok(frame))) = timeout(PATIENCE, body.frame()).await {
        taken += frame.data_ref().map_or(0, |data| data.len());
        if taken > MOST_BYTES {
            return;
        }
    }
}
