//! What notifications makes of the records of its topic: each event is read, and kept as a message.

use platform::{
    failure::Failure,
    kafka::{Arrival, Reader, record},
    telemetry::trace,
};
use proto::event::Event;
use rdkafka::message::{Message as _, OwnedMessage};
use tracing::Span;

use crate::usecase::Messages;

impl Reader for Messages {
    type Event = Event;

    fn read(&self, record: &OwnedMessage, span: &Span) -> Result<Event, String> {
        let event = Event::read(record.payload(), &record::place(record), record::published_at(record))
            .map_err(|unreadable| unreadable.to_string())?;
        trace::set(span, "messaging.message.id", event.id.clone());
        trace::set(span, "order.id", event.order.get());
        trace::set(span, "user.id", event.user.get());
        Ok(event)
    }

    async fn keep(&self, arrivals: &[Arrival<Event>]) -> Result<usize, Failure> {
        self.keep_events(arrivals).await
    }
}
