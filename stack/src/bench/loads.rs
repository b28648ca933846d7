//! What is asked of the fleet.

use crate::{
    doors::Door,
    load::{Pace, Scenario},
};

/// How many SKUs are bought.
const SKUS: u32 = 100;

/// Something that is asked of the fleet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub name: &'static str,
    pub scenario: Scenario,
    pub door: Door,
    pub pace: Pace,
    pub skus: u32,
}

impl Load {
    pub const fn users(name: &'static str, scenario: Scenario, users: u32) -> Self {
        Self { name, scenario, door: Door::Grpc, pace: Pace::Users(users), skus: SKUS }
    }

    /// Journeys at a rate.
    pub const fn journeys(name: &'static str, per_second: f64) -> Self {
        Self { name, scenario: Scenario::Purchase, door: Door::Grpc, pace: Pace::Rate(per_second), skus: SKUS }
    }

    /// The journeys of the most users, by which the rates of others go.
    pub fn is_peak(&self) -> bool {
        self.name == JOURNEY && self.pace == Pace::Users(CROWD)
    }
}

pub(super) const EMPTY: &str = "empty RPC";
pub(super) const STOCKS: &str = "Stocks";
pub(super) const ADD: &str = "AddToCart";
pub(super) const ORDER: &str = "CreateOrder, 100 SKUs";
pub(super) const HOT: &str = "CreateOrder, one SKU";
pub(super) const JOURNEY: &str = "journey";
pub(super) const HALF: &str = "journeys, half of what can be served";
pub(super) const FIVEFOLD: &str = "journeys, five times of what can be served";

/// The most users.
pub(super) const CROWD: u32 = 64;

pub(super) const LOADS: &[Load] = &[
    Load::users(EMPTY, Scenario::Health, 1),
    Load::users(EMPTY, Scenario::Health, CROWD),
    Load::users(STOCKS, Scenario::Stocks, 1),
    Load::users(STOCKS, Scenario::Stocks, CROWD),
    Load::users(JOURNEY, Scenario::Purchase, 1),
    Load::users(JOURNEY, Scenario::Purchase, 4),
    Load::users(JOURNEY, Scenario::Purchase, 16),
    Load::users(JOURNEY, Scenario::Purchase, CROWD),
    Load::users(ADD, Scenario::Add, 1),
    Load::users(ADD, Scenario::Add, CROWD),
    Load::users(ORDER, Scenario::Order, 1),
    Load::users(ORDER, Scenario::Order, 16),
    Load::users(ORDER, Scenario::Order, CROWD),
    Load { skus: 1, ..Load::users(HOT, Scenario::Order, CROWD) },
];
