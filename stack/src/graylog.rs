//! A stand-in for a Graylog with a GELF TCP input. It keeps the received messages for tests. It can stall, and it can
//! go away and come back on the same port.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::Value;
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::standin::{Server, start_again};

/// A running Graylog. Dropping it cuts every connection.
#[derive(Debug)]
pub struct Graylog {
    // None while Graylog is away.
    server: Option<Server>,
    address: SocketAddr,
    received: Arc<Received>,
}

#[derive(Debug, Default)]
struct Received {
    messages: Mutex<Vec<Value>>,
    malformed: Mutex<Vec<String>>,
    connections: watch::Sender<usize>,
    stalls: watch::Sender<bool>,
}

impl Graylog {
    /// Port 0 means any free port.
    pub fn start(listen: SocketAddr) -> io::Result<Self> {
        let received = Arc::<Received>::default();
        let server = serve(listen, &received)?;
        Ok(Self { address: server.address(), server: Some(server), received })
    }

    /// The address stays the same while Graylog is away.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All messages so far, in order of arrival.
    pub fn messages(&self) -> Vec<Value> {
        self.received.messages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The received frames that are no GELF messages, each after its fault.
    pub fn malformed(&self) -> Vec<String> {
        self.received.malformed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The number of connections so far.
    pub fn connections(&self) -> usize {
        *self.received.connections.borrow()
    }

    /// From now on, connections are accepted, but nothing is read from them.
    pub fn stall(&self) {
        self.received.stalls.send_replace(true);
    }

    /// Ends a stall: from now on, everything is read.
    pub fn read_on(&self) {
        self.received.stalls.send_replace(false);
    }

    /// Goes away as in a crash: the port is closed and connections are cut. Received messages are kept.
    pub fn go_away(&mut self) {
        self.server = None;
    }

    /// Listens on the same port again.
    pub async fn come_back(&mut self) -> io::Result<()> {
        self.server = None;
        self.server = Some(start_again(|| serve(self.address, &self.received)).await?);
        Ok(())
    }
}

fn serve(listen: SocketAddr, received: &Arc<Received>) -> io::Result<Server> {
    let received = Arc::clone(received);
    Server::start(listen, |listener| accept(listener, received))
}

async fn accept(listener: TcpListener, received: Arc<Received>) {
    while let Ok((stream, _)) = listener.accept().await {
        received.connections.send_modify(|connections| *connections += 1);
        let received = Arc::clone(&received);
        // An incomplete frame at the end of a connection is ignored, as in Graylog.
        tokio::spawn(async move { received.read(stream).await });
    }
}

impl Received {
    /// Reads frames until the connection ends.
    async fn read(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut stalls = self.stalls.subscribe();
        let mut buffer = Vec::new();
        loop {
            // This cannot fail: it fails only when the sender is dropped, and `self` has the sender.
            let _ = stalls.wait_for(|stalls| !stalls).await;
            tokio::select! {
                _ = stalls.changed() => {}
                read = stream.read_buf(&mut buffer) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    self.take_frames(&mut buffer);
                }
            }
        }
    }

    fn take_frames(&self, buffer: &mut Vec<u8>) {
        while let Some(end) = buffer.iter().position(|byte| *byte == 0) {
            let frame: Vec<u8> = buffer.drain(..=end).collect();
            match decode(&frame[..end]) {
                Ok(message) => self.messages.lock().unwrap_or_else(PoisonError::into_inner).push(message),
                Err(fault) => {
                    let text = String::from_utf8_lossy(&frame[..end]);
                    self.malformed.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{fault}: {text}"));
                }
            }
        }
    }
}

/// Reads a frame, and checks it against the specification of GELF 1.1. The error names the wrong field.
fn decode(frame: &[u8]) -> Result<Value, String> {
    let message: Value = serde_json::from_slice(frame).map_err(|error| error.to_string())?;
    let fields = message.as_object().ok_or("no object")?;
    let is_text = |name: &str| fields.get(name).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    if message["version"] != "1.1" {
        return Err("version".into());
    }
    for name in ["host", "short_message"] {
        if !is_text(name) {
            return Err(name.into());
        }
    }
    for (name, value) in fields {
        let is_right = match name.as_str() {
            "version" | "host" | "short_message" => true,
            "full_message" => value.is_string(),
            "timestamp" => value.is_f64(),
            "level" => value.as_u64().is_some_and(|level| level <= 7),
            additional => is_additional(additional) && (value.is_string() || value.is_number()),
        };
        if !is_right {
            return Err(name.clone());
        }
    }
    Ok(message)
}

/// GELF wants `_`, then word characters, dots and dashes. Libraries must not send `_id`.
fn is_additional(name: &str) -> bool {
    let is_allowed = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '.' | '-');
    name != "_id" && name.strip_prefix('_').is_some_and(|rest| !rest.is_empty() && rest.chars().all(is_allowed))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn fault(frame: &str) -> String {
        decode(frame.as_bytes()).unwrap_err()
    }

    #[test]
    fn a_message_is_held_to_the_specification() {
        let right = r#"{"version":"1.1","host":"here","short_message":"said","timestamp":1.5,"level":6,"_a.b-c_1":2}"#;
        assert_eq!(decode(right.as_bytes()).unwrap()["_a.b-c_1"], 2);
        for (from, to, name) in [
            ("1.1", "1.0", "version"),
            ("here", "", "host"),
            ("said", "", "short_message"),
            ("1.5", r#""now""#, "timestamp"),
            (":6", ":8", "level"),
            ("_a.b-c_1", "_id", "_id"),
            ("_a.b-c_1", "_a b", "_a b"),
            ("_a.b-c_1", "a", "a"),
            (":2", ":true", "_a.b-c_1"),
        ] {
            assert_eq!(fault(&right.replace(from, to)), name);
        }
        assert!(fault("").contains("EOF"));
        assert_eq!(fault("1"), "no object");
    }
}
