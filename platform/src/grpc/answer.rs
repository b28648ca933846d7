//! An answer that waits until its caller takes it. HTTP/2 sends only as much as the caller wants to have, so the rest
//! stays here: in pieces, counted, and not longer than until the deadline of the call.

use std::{
    io,
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
    let (has_trailers, length) = (trailers.is_some(), data.len());
    let Some(unread) = Unread::count(data.len(), share) else {
        let reason = "the answers to earlier calls wait to be read; read them first";
        return Status::resource_exhausted(reason).into_http();
    };
    let rest =
        Arc::new(Mutex::new(Some(Rest { data, trailers, on_taken, deadline, _unread: unread, _running: running })));
    // Without trailers, nothing can say that the rest does not come but a broken connection. One piece is with HTTP at once.
    let is_given_up = has_trailers || length > PIECE;
    let give_up = is_given_up.then(|| {
        let rest = Arc::clone(&rest);
        let give_up = async move {
            tokio::time::sleep_until(deadline).await;
            // What is left is freed here. HTTP/2 asks for it only when the caller takes it, which may be never.
            if rest.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
                UNTAKEN.inc();
            }
        };
        tokio::spawn(give_up).abort_handle()
    });
    Response::from_parts(parts, Body::new(Answer { rest, give_up, has_trailers, has_ended: false }))
}

/// In the extensions of an answer: is called once, when the last of the answer is handed over to HTTP in time to reach its
/// caller. It is not called if the caller is gone, or has given up by then.
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
    give_up: Option<AbortHandle>,
    has_trailers: bool,
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
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(left) = rest.as_mut() else {
            drop(rest);
            self.has_ended = true;
            if !self.has_trailers {
                return Poll::Ready(Some(Err(io::Error::other("the answer was not taken by the deadline"))));
            }
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
        if let Some(give_up) = &self.give_up {
            give_up.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

    use super::*;

    /// The first piece, and what comes after the deadline.
    async fn taken_late(bytes: usize) -> (usize, Option<Result<usize, axum::Error>>) {
        let second = Duration::from_secs(1);
        let answer = Response::new(Body::from(vec![0; bytes]));
        let mut body = until_taken(answer, Instant::now() + second, None, None).await.into_body();
        let first = if bytes > PIECE { body.frame().await.unwrap().unwrap().into_data().unwrap().len() } else { 0 };
        tokio::time::sleep(2 * second).await;
        let rest = body.frame().await.map(|frame| frame.map(|frame| frame.into_data().unwrap().len()));
        (first, rest)
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_without_trailers_is_broken_off_at_the_deadline_unless_it_is_one_piece() {
        let (first, rest) = taken_late(2 * PIECE).await;
        assert_eq!(
            (first, rest.unwrap().unwrap_err().to_string().as_str()),
            (PIECE, "the answer was not taken by the deadline")
        );
        assert_eq!(taken_late(27).await.1.unwrap().unwrap(), 27);
    }
}
