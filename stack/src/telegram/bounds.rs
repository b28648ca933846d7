//! How many messages Telegram takes: <https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this>. It
//! names no exact numbers for the short bursts that it allows; these are ours.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use serde_json::Value;

const SECOND: Duration = Duration::from_secs(1);
/// How many messages may come in how long.
type Bound = (usize, Duration);
const OF_A_BOT: Bound = (30, SECOND);
const OF_A_PERSON: [Bound; 2] = [(5, Duration::from_millis(2500)), (14, Duration::from_millis(10_500))];
const OF_A_GROUP: [Bound; 1] = [(20, Duration::from_secs(60))];

#[derive(Debug, Default)]
pub(super) struct Bounds {
    bot: VecDeque<Instant>,
    chats: HashMap<String, VecDeque<Instant>>,
    pub refused: usize,
}

impl Bounds {
    /// Takes a message, or says after how many seconds it would.
    pub fn take(&mut self, chat: &Value, now: Instant) -> Result<(), u64> {
        let of_the_chat: &[Bound] = if chat.as_i64().is_some_and(|id| id > 0) { &OF_A_PERSON } else { &OF_A_GROUP };
        let taken = self.chats.entry(chat.to_string()).or_default();
        let waits = of_the_chat.iter().map(|bound| wait(taken, *bound, now)).chain([wait(&self.bot, OF_A_BOT, now)]);
        let wait = waits.max().unwrap_or_default();
        if !wait.is_zero() {
            self.refused += 1;
            return Err(wait.as_secs() + 1);
        }
        for taken in [taken, &mut self.bot] {
            taken.push_front(now);
            // No bound is about more.
            taken.truncate(OF_A_BOT.0);
        }
        Ok(())
    }
}

/// How long it takes until a message fits into a bound, the latest first.
fn wait(taken: &VecDeque<Instant>, (most, period): Bound, now: Instant) -> Duration {
    taken.get(most - 1).map_or(Duration::ZERO, |oldest| (*oldest + period).saturating_duration_since(now))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// How many of the messages are taken that come to the chats in turn, one each so often.
    fn taken(chats: &[Value], count: u32, every: Duration) -> u32 {
        let (mut bounds, begin) = (Bounds::default(), Instant::now());
        let messages = (0..count).zip(chats.iter().cycle());
        messages.map(|(number, chat)| u32::from(bounds.take(chat, begin + every * number).is_ok())).sum()
    }

    #[test]
    fn a_chat_gets_what_telegram_allows_and_no_more() {
        let (person, group) = ([json!(1)], [json!(-1)]);
        assert_eq!(taken(&person, 100, SECOND), 100);
        assert!((10..20).contains(&taken(&person, 100, SECOND / 10)), "ten seconds of ten a second");
        assert_eq!(taken(&group, 60, SECOND), 20);
        assert_eq!(taken(&[json!("@channel")], 60, SECOND), 20);
        let many: Vec<_> = (1..=100).map(|id| json!(id)).collect();
        assert_eq!(taken(&many, 100, SECOND / 100), 30);
    }

    #[test]
    fn it_says_how_long_to_wait() {
        let (mut bounds, begin) = (Bounds::default(), Instant::now());
        for _ in 0..20 {
            assert_eq!(bounds.take(&json!(-1), begin), Ok(()));
        }
        assert_eq!(bounds.take(&json!(-1), begin + 10 * SECOND), Err(51));
        assert_eq!(bounds.take(&json!(-1), begin + 61 * SECOND), Ok(()));
    }
}
