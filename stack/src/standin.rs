//! What all stand-ins need: a server on a runtime of its own, and a queue of faults.

use std::{
    collections::VecDeque,
    future::Future,
    io,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{net::TcpListener, runtime::Runtime};

use crate::process::POLL;

/// After a server went away, its port may stay in use for so long.
const PORT_TIMEOUT: Duration = Duration::from_secs(5);

/// A server on a runtime of its own. Dropping it closes the port and cuts every connection, as a crash would.
#[derive(Debug)]
pub(crate) struct Server {
    runtime: Option<Runtime>,
    address: SocketAddr,
}

impl Server {
    /// Opens the port, then runs the future that `serve` returns, until the server is dropped.
    pub fn start<F>(listen: SocketAddr, serve: impl FnOnce(TcpListener) -> F) -> io::Result<Self>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = std::net::TcpListener::bind(listen)
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {listen}: {error}")))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let within = runtime.enter();
        let listener = TcpListener::from_std(listener)?;
        runtime.spawn(serve(listener));
        drop(within);
        Ok(Self { runtime: Some(runtime), address })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Starts a server on the port that it had before, as soon as the port is free.
pub(crate) async fn start_again<T>(mut start: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let deadline = Instant::now() + PORT_TIMEOUT;
    loop {
        match start() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                tokio::time::sleep(POLL).await;
            }
            result => return result,
        }
    }
}

/// A queue of faults, each with the number of calls that get it.
#[derive(Debug)]
pub(crate) struct Faults<F>(Mutex<VecDeque<(F, u32)>>);

impl<F> Default for Faults<F> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<F: Clone> Faults<F> {
    /// Queues a fault for `times` calls, behind earlier faults.
    pub fn add(&self, fault: F, times: u32) {
        if times > 0 {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back((fault, times));
        }
    }

    /// The fault for a call that arrives now.
    pub fn take(&self) -> Option<F> {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (fault, times) = faults.front_mut()?;
        *times -= 1;
        let (fault, spent) = (fault.clone(), *times == 0);
        if spent {
            faults.pop_front();
        }
        Some(fault)
    }

    /// From now on, calls get no fault.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
