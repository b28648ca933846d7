//! A headless Chromium, and the driver that it is told by what to do.

use std::{process::Command, sync::Arc, time::Duration};

use stack::{packages, ports, process::Process, testing::eventually};
use tempfile::TempDir;
use thirtyfour::{LoggingPrefsLogLevel, extensions::query::ElementPollerWithTimeout, prelude::*};

const HOW: &str = "install it (Debian: sudo apt-get install chromium chromium-driver)";

/// Longer than the slowest page of a fleet that has just started.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// A browser with an empty profile. Dropping it kills its driver.
pub struct Chromium {
    pub driver: WebDriver,
    process: Process,
    directory: TempDir,
}

impl Chromium {
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let chromedriver = packages::program("chromedriver", "chromium-driver", HOW).unwrap();
        let port = ports::free().unwrap();
        let mut command = Command::new(chromedriver);
        command.arg(format!("--port={port}")).env("TMPDIR", directory.path());
        let process = Process::spawn("chromedriver", command, &directory.path().join("log")).unwrap();
        let url = format!("http://127.0.0.1:{port}");
        eventually("chromedriver listens", async || reqwest::get(format!("{url}/status")).await.ok()).await;

        let mut capabilities = DesiredCapabilities::chrome();
        let arguments =
            ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-quic"];
        // It looks for nothing outside.
        let quiet =
            ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
        for argument in arguments.into_iter().chain(quiet) {
            capabilities.add_arg(argument).unwrap();
        }
        // Of the development CA's; this browser sees no other.
        capabilities.accept_insecure_certs(true).unwrap();
        capabilities.set_browser_log_level(LoggingPrefsLogLevel::All).unwrap();
        let poller = Arc::new(ElementPollerWithTimeout::new(PATIENCE, POLL));
        let driver = WebDriver::builder(&url, capabilities).poller(poller).connect().await.unwrap();
        driver.set_script_timeout(PATIENCE).await.unwrap();
        Self { driver, process, directory }
    }

    /// What the browser complained of, such as what a page's policy forbids.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.driver.browser_log().await.unwrap();
        log.into_iter().map(|entry| entry.message).collect()
    }

    pub async fn stop(self) {
        let Self { driver, mut process, directory } = self;
        driver.quit().await.unwrap();
        process.kill();
        drop(directory);
    }
}
