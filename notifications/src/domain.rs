//! The rules, as pure functions of their input: which days a history covers, what an answer of Telegram means.

pub mod delivery;
pub mod history;
