//! What an answer of Telegram means for a message, and what a message must look like for it.

use std::{borrow::Cow, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBuilder};

/// The longest text that Telegram takes, in UTF-16 code units, which is how it counts.
pub const MAX_UNITS: usize = 4096;

/// The shortest pause after too many requests, whatever Telegram asks for.
const SHORTEST_RETRY_AFTER: Duration = Duration::from_secs(1);

/// How a request to send a message ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The message was taken.
    Taken,
    /// The bot sends too much; nothing of it is taken for that long, if it says how long.
    SlowDown(Option<Duration>),
    /// For this reason, nothing is taken at the moment: Telegram fails, or cannot be reached, or the bot is not let in, or
    /// not into the chat. It says nothing of the message.
    Trouble(String),
    /// Telegram will never take this message, for this reason.
    Refused(String),
}

/// What becomes of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It has been delivered.
    Sent,
    /// It is tried again after a pause.
    Postponed {
        /// How long the pause is.
        pause: Duration,
        /// How long the whole bot pauses, as Telegram asks; `None` for longer each time that it happens in a row.
        rest: Option<Duration>,
        /// Whether the bot sent too much.
        rate_limited: bool,
        /// Why.
        reason: String,
    },
    /// One of the messages that shared its request was refused, for this reason. It is tried again at once, with fewer.
    Apart(String),
    /// It is given up, for this reason.
    Dead(String),
}

/// How long to wait between attempts.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// After the first failure; it doubles with each that follows, and up to as much again is added at random.
    pub first: Duration,
    /// The longest before the random part.
    pub longest: Duration,
    /// The longest wait that Telegram can ask for.
    pub longest_retry_after: Duration,
}

impl Answer {
    /// Judges an attempt to deliver one of so many messages that shared a request. If it has failed, it is this failure of
    /// the message, the first being 1.
    pub fn judge(self, failure: u32, together: usize, pace: &Pace) -> Verdict {
        match self {
            Self::Refused(reason) if together > 1 => Verdict::Apart(reason),
            Self::Taken => Verdict::Sent,
            Self::SlowDown(retry_after) => {
                let rest = retry_after.map(|asked| asked.clamp(SHORTEST_RETRY_AFTER, pace.longest_retry_after));
                // It is not for the message, which need not wait for longer than the bot.
                let pause = rest.unwrap_or(SHORTEST_RETRY_AFTER);
                Verdict::Postponed { pause, rest, rate_limited: true, reason: "too many requests".into() }
            }
            Self::Trouble(reason) => {
                Verdict::Postponed { pause: pace.pause(failure), rest: None, rate_limited: false, reason }
            }
            Self::Refused(reason) => Verdict::Dead(reason),
        }
    }
}

impl Pace {
    /// The pause after so many failures in a row, at least one.
    pub fn pause(&self, failures: u32) -> Duration {
        let pauses = ExponentialBuilder::new()
            .with_min_delay(self.first)
            .with_max_delay(self.longest)
            .without_max_times()
            .with_jitter();
        // Doubled 30 times, any pause is at its longest.
        let index = failures.saturating_sub(1).min(30) as usize;
        pauses.build().nth(index).unwrap_or(self.longest)
    }
}

/// The text as Telegram takes it: a longer one is cut and ends in `…`.
pub fn fit(text: &str) -> Cow<'_, str> {
    if text.encode_utf16().count() <= MAX_UNITS {
        return text.into();
    }
    let mut room = MAX_UNITS - '…'.len_utf16();
    let kept = text.chars().take_while(|char| {
        let fits = char.len_utf16() <= room;
        room = room.saturating_sub(char.len_utf16());
        fits
    });
    kept.chain(['…']).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        first: Duration::from_millis(500),
        longest: Duration::from_secs(150),
        longest_retry_after: Duration::from_secs(3600),
    };

    #[test]
    fn pauses_double_up_to_the_longest_and_vary_by_chance() {
        for (failures, shortest) in [(1, 0.5), (2, 1.0), (3, 2.0), (9, 128.0), (10, 150.0), (u32::MAX, 150.0)] {
            let pause = PACE.pause(failures).as_secs_f64();
            assert!((shortest..=2.0 * shortest).contains(&pause), "{failures}: {pause}");
        }
    }

    #[test]
    fn telegram_is_obeyed_when_it_asks_to_slow_down_but_not_for_days_nor_for_no_time_at_all() {
        let paused = |seconds: Option<u64>| match Answer::SlowDown(seconds.map(Duration::from_secs)).judge(20, 1, &PACE)
        {
            Verdict::Postponed { pause, rest, rate_limited: true, .. } => Some((pause.as_secs(), rest)),
            Verdict::Postponed { .. } | Verdict::Sent | Verdict::Apart(_) | Verdict::Dead(_) => None,
        };
        for (asked, seconds) in [(7, 7), (u64::MAX, 3600), (0, 1)] {
            assert_eq!(paused(Some(asked)), Some((seconds, Some(Duration::from_secs(seconds)))), "{asked}");
        }
        assert_eq!(paused(None), Some((1, None)), "whatever happened to the message before");
    }

    #[test]
    fn a_text_is_cut_where_telegram_stops_counting() {
        let longest = "x".repeat(4096);
        assert_eq!(fit(&longest), longest);
        let cut = fit(&format!("{longest}x")).into_owned();
        assert_eq!(cut, format!("{}…", "x".repeat(4095)));
        // Each of these counts as two.
        let cut = fit(&"🛒".repeat(3000)).into_owned();
        assert_eq!(cut, format!("{}…", "🛒".repeat(2047)));
        assert!(cut.encode_utf16().count() <= 4096);
    }
}
