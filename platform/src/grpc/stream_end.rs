//! Streams of health and reflection last as long as their clients want. They must not delay the end of the process, so
//! they end when it drains.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::{Body, Bytes};
use http::{HeaderMap, Response};
use http_body::{Body as HttpBody, Frame};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;

use crate::net::Running;

/// Lets an answer that still goes on end as UNAVAILABLE when the process drains. Until it ends, its request runs.
pub(crate) fn end_on_drain(
    answer: Response<Body>,
    running: Option<Running>,
    drain: &CancellationToken,
) -> Response<Body> {
    // An answer without a body is over with its headers. Clients take an empty frame after them for a fault.
    if answer.body().is_end_stream() {
        return answer;
    }
    let drained = Box::pin(drain.clone().cancelled_owned());
    answer.map(|body| Body::new(EndsOnDrain { body, drained, has_ended: false, _running: running }))
}

struct EndsOnDrain {
    body: Body,
    drained: Pin<Box<WaitForCancellationFutureOwned>>,
    has_ended: bool,
    _running: Option<Running>,
}

impl HttpBody for EndsOnDrain {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        // What the stream still has to say, such as that the service stops serving, comes first.
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        if self.drained.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.has_ended = true;
        let mut trailers = HeaderMap::new();
        match Status::unavailable("the service stops").add_header(&mut trailers) {
            Ok(()) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Err(_) => Poll::Ready(None),
        }
    }
}
