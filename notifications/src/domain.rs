//! The rules, as pure functions of their input: which days a history covers, how much a chat may get, what an answer of
//! Telegram means.

pub mod delivery;
pub mod history;
pub mod pace;
pub mod undelivered;
