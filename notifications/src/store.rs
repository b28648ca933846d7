//! Everything that is kept, in Postgres.

pub mod deliveries;
pub mod history;
pub mod messages;
