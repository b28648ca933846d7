//! What the stand-ins share: a runtime of their own, and faults in the order they were asked for.

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

/// How long the port of one that went away may take to be free again.
const FREE: Duration = Duration::from_secs(5);

/// A server on a runtime of its own. Dropping it closes the port and cuts every connection, as a crash would.
#[derive(Debug)]
pub(crate) struct Server {
    runtime: Option<Runtime>,
    address: SocketAddr,
}

impl Server {
    /// Opens the port, then runs what `serve` makes of it until this is dropped.
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

    /// Where it listens.
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

/// Starts something on the port that it had before, as soon as that is free.
pub(crate) async fn again<T>(mut start: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let deadline = Instant::now() + FREE;
    loop {
        match start() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                tokio::time::sleep(POLL).await;
            }
            outcome => return outcome,
        }
    }
}

/// Faults to come, each for a number of calls.
#[derive(Debug)]
pub(crate) struct Faults<F>(Mutex<VecDeque<(F, u32)>>);

impl<F> Default for Faults<F> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<F: Clone> Faults<F> {
    /// After those asked for before, the next `times` calls meet this fault.
    pub fn add(&self, fault: F, times: u32) {
        if times > 0 {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back((fault, times));
        }
    }

    /// The fault that a call arriving now meets.
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

    /// From now on calls are answered properly.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
