//! How a load goes, while it goes: a line that changes in a terminal, a line a second elsewhere.

use std::{io::IsTerminal as _, sync::Arc, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;

use super::{
    record::{Glance, Recorder},
    report::millis,
};

use crate::terminal;

const PERIOD: Duration = Duration::from_secs(1);

pub(super) struct Live {
    task: JoinHandle<()>,
    bar: ProgressBar,
}

pub(super) fn show(recorder: Arc<Recorder>, duration: Duration) -> Live {
    let bar = ProgressBar::new(duration.as_secs().max(1));
    if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len} s  {msg}") {
        bar.set_style(style);
    }
    let task = tokio::spawn({
        let bar = bar.clone();
        async move {
            let (mut before, mut ticks) = (Glance::default(), tokio::time::interval(PERIOD));
            ticks.tick().await;
            for second in 1.. {
                ticks.tick().await;
                let now = recorder.glance();
                let line = format!(
                    "{} journeys/s, {} failed, p50 {}, p99 {}",
                    now.journeys - before.journeys,
                    now.failed,
                    millis(now.p50),
                    millis(now.p99)
                );
                if std::io::stderr().is_terminal() {
                    bar.set_position(second);
                    bar.set_message(line);
                } else {
                    terminal::print_error(format_args!("{second} s: {line}"));
                }
                before = now;
            }
        }
    });
    Live { task, bar }
}

impl Live {
    pub fn end(self) {
        self.task.abort();
        self.bar.finish_and_clear();
    }
}
