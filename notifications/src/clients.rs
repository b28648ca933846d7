//! The outside services that notifications calls.

pub mod telegram;
