//! Ports of the loopback interface.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Mutex, PoisonError},
};

use tokio::net::TcpSocket;

pub fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// A port that nothing listens on, and that the system gives to nobody else while this process lives.
///
/// A socket is bound to the port and does not listen. The system then does not give the port away, but a server that
/// asks for exactly this port gets it.
pub fn free() -> io::Result<u16> {
    static KEPT: Mutex<Vec<TcpSocket>> = Mutex::new(Vec::new());
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(loopback(0))?;
    let port = socket.local_addr()?.port();
    KEPT.lock().unwrap_or_else(PoisonError::into_inner).push(socket);
    Ok(port)
}

pub fn is_taken(port: u16) -> bool {
    TcpListener::bind(loopback(port)).is_err()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_port_is_taken_while_somebody_listens_on_it() {
        let listener = TcpListener::bind(loopback(0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(is_taken(port));
        drop(listener);
        assert!(!is_taken(port));
    }

    #[test]
    fn no_free_port_is_given_twice() {
        let ports: Vec<_> = (0..50).map(|_| free().unwrap()).collect();
        assert_eq!(ports.iter().collect::<HashSet<_>>().len(), ports.len());
    }
}
