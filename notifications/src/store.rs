//! Everything that notifications asks of its database, a table a file. What is only a part of a transaction takes one; what
//! may also stand alone takes any executor: a transaction, or the database.

pub mod delivery;
pub mod message;
pub mod past;
pub mod telegram_pace;
pub mod undelivered;
