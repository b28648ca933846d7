//! An answer that waits until its caller takes it. HTTP/2 sends only as much as the caller wants to have, so the rest
//! stays here: in pieces, counted, and not longer than until the deadline of the call.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use axum::body::{Body, Bytes};
use http::{HeaderMap, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::AbortHandle,
    time::Instant,
};
use tonic::Status;

use super::call_guard::DEADLINE_TOLERANCE;
use crate::{
    metrics::net::{UNREAD_BYTES, UNTAKEN},
    net::{Running, UnreadBytes},
};

/// HTTP/2 takes an answer in pieces of this size.
const PIECE: usize = 16 * 1024;
/// Smaller answers are not counted. All calls of a connection together leave no more of them than one large answer has.
const SMALL: usize = 8 * 1024;
/// The bytes of large answers that all callers together may leave untaken.
const MAX_UNREAD_BYTES: usize = 128 * 1024 * 1024;

static ALL_UNREAD_BYTES: std::sync::LazyLock<Arc<Semaphore>> =
    std::sync::LazyLock::new(|| Arc::new(Semaphore::new(MAX_UNREAD_BYTES)));

/// Lets the answer wait for its caller. An answer for which there is no room is refused.
pub(super) async fn until_taken(
    answer: Response<Body>,
    deadline: Instant,
    share: Option<&UnreadBytes>,
    running: Option<Running>,
) -> Response<Body> {
    // An answer without a body is over with its headers.
    if answer.body().is_end_stream() {
        return answer;
    }
    let (mut parts, body) = answer.into_parts();
    let on_taken = parts.extensions.remove::<OnTaken>();
    let Ok(collected) = body.collect().await else {
        return Status::internal("the answer cannot be written").into_http();
    };
    let trailers = collected.trailers().cloned();
    let data = collected.to_bytes();
    let Some(unread) = Unread::count(data.len(), share) else {
        let reason = "the answers to earlier calls wait to be read; read them first";
        return Status::resource_exhausted(reason).into_http();
    };
    let rest =
        Arc::new(Mutex::new(Some(Rest { data, trailers, on_taken, deadline, _unread: unread, _running: running })));
    let give_up = tokio::spawn({
        let rest = Arc::clone(&rest);
        async move {
            tokio::time::sleep_until(deadline).await;
            // What is left is freed here. HTTP/2 asks for it only when the caller takes it, which may be never.
            if rest.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
                UNTAKEN.inc();
            }
        }
    });
    Response::from_parts(parts, Body::new(Answer { rest, give_up: give_up.abort_handle(), has_ended: false }))
}

/// In the extensions of an answer: is called once, when the answer is handed over to HTTP/2 in time to reach its caller.
/// It is not called if the caller is gone, or has given up by then.
#[derive(Clone)]
pub struct OnTaken(Arc<Mutex<Option<Call>>>);

type Call = Box<dyn FnOnce() + Send>;

impl OnTaken {
    pub fn new(call: impl FnOnce() + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(call)))))
    }

    fn call(self) {
        let call = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(call) = call {
            call();
        }
    }
}

struct Answer {
    /// `None` after the deadline.
    rest: Arc<Mutex<Option<Rest>>>,
    give_up: AbortHandle,
    has_ended: bool,
}

struct Rest {
    data: Bytes,
    trailers: Option<HeaderMap>,
    on_taken: Option<OnTaken>,
    deadline: Instant,
    _unread: Unread,
    _running: Option<Running>,
}

/// The bytes that an answer leaves untaken, of its connection's share and of all.
struct Unread {
    bytes: i64,
    _permits: Vec<OwnedSemaphorePermit>,
}

impl Unread {
    /// `None` if there is no room for so many bytes.
    fn count(bytes: usize, share: Option<&UnreadBytes>) -> Option<Self> {
        if bytes <= SMALL {
            return Some(Self { bytes: 0, _permits: Vec::new() });
        }
        let number = u32::try_from(bytes).ok()?;
        let shares = share.map(|share| &share.0).into_iter().chain([&*ALL_UNREAD_BYTES]);
        let permits =
            shares.map(|share| Arc::clone(share).try_acquire_many_owned(number).ok()).collect::<Option<_>>()?;
        let bytes = number.into();
        UNREAD_BYTES.add(bytes);
        Some(Self { bytes, _permits: permits })
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        UNREAD_BYTES.sub(self.bytes);
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(left) = rest.as_mut() else {
            drop(rest);
            self.has_ended = true;
            // Callers who still listen take a stream that is reset for a fault of the service.
            let mut trailers = HeaderMap::new();
            let status = Status::deadline_exceeded("the answer was not taken by the deadline");
            return Poll::Ready(status.add_header(&mut trailers).ok().map(|()| Ok(Frame::trailers(trailers))));
        };
        let piece = left.data.len().min(PIECE);
        let piece = left.data.split_to(piece);
        // Who reads an answer of known length does not ask for what comes after its last piece.
        let is_last = left.data.is_empty() && (piece.is_empty() || left.trailers.is_none());
        if is_last
            && let Some(on_taken) = left.on_taken.take()
            && Instant::now() + DEADLINE_TOLERANCE < left.deadline
        {
            on_taken.call();
        }
        if !piece.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match left.trailers.take() {
            Some(trailers) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            None => Poll::Ready(None),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        match rest.as_ref() {
            Some(Rest { data, trailers: None, .. }) => SizeHint::with_exact(data.len() as u64),
            Some(_) | None => SizeHint::default(),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.give_up.abort();
    }
}
