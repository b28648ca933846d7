//! The rules, pure: what an event says, which days a history covers, what an answer of Telegram means.

pub mod delivery;
pub mod event;
pub mod period;
