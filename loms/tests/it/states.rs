//! The statuses of an order: which follow which, and that none follows a final one.

use chrono::{DateTime, TimeDelta, Utc};
use loms::domain::{
    order::{NewOrder, Order, OrderRefusal},
    plan::Shortage,
    status::{State, Status, TRANSITIONS},
    transition::Transition,
};
use proptest::{collection::vec, prelude::*};
use proto::ids::OrderId;
use strum::VariantArray as _;

const FINAL: [Status; 3] = [Status::Failed, Status::Paid, Status::Cancelled];

#[derive(Debug, Clone, Copy)]
enum Wish {
    Pay(i64),
    Cancel,
    Expire(i64),
}

fn wish() -> impl Strategy<Value = Wish> {
    prop_oneof![(0..20i64).prop_map(Wish::Pay), Just(Wish::Cancel), (0..20i64).prop_map(Wish::Expire)]
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

fn id() -> OrderId {
    5.try_into().unwrap()
}

fn shortage() -> Shortage {
    Shortage { sku: 7u32.try_into().unwrap(), requested: 2u32.try_into().unwrap(), available: 1 }
}

fn settled(reserved: bool) -> Transition {
    let plan = if reserved { Ok(Vec::new()) } else { Err(shortage()) };
    NewOrder { id: id(), pay_before: at(10) }.decide(&plan)
}

fn order(state: State) -> Order {
    Order { id: id(), created_at: at(0), pay_before: at(10), state }
}

fn wished(order: &Order, wish: Wish) -> Option<Transition> {
    match wish {
        Wish::Pay(now) => order.pay(at(now)).ok().flatten(),
        Wish::Cancel => order.cancel().ok().flatten(),
        Wish::Expire(now) => order.expire(at(now)),
    }
}

proptest! {
    #[test]
    fn every_life_of_an_order_follows_the_diagram(reserved: bool, wishes in vec(wish(), 0..12)) {
        let first = settled(reserved);
        prop_assert_eq!(first.from(), Status::New);
        let mut order = order(first.to().clone());
        let mut told: Vec<_> = first.events().iter().map(|event| event.status()).collect();
        for wish in wishes {
            let before = order.state.status();
            let Some(transition) = wished(&order, wish) else { continue };
            prop_assert!(!FINAL.contains(&before), "no path leads out of a final status");
            prop_assert_eq!(transition.from(), before);
            prop_assert_eq!(transition.order(), order.id);
            prop_assert!(TRANSITIONS.contains(&(before, transition.to().status())), "the diagram has no such path");
            told.extend(transition.events().iter().map(|event| event.status()));
            order.state = transition.to().clone();
        }
        prop_assert!(told.len() <= 3);
        prop_assert_eq!(told[0], Status::New);
        prop_assert_eq!(*told.last().unwrap(), order.state.status(), "every status that is taken is told");
    }

    #[test]
    fn an_order_is_paid_before_its_deadline_and_expires_from_it_on(now in 0..20i64) {
        let order = order(State::AwaitingPayment);
        prop_assert_eq!(order.pay(at(now)).is_ok(), now < 10);
        prop_assert_eq!(order.expire(at(now)).is_some(), now >= 10);
        if now >= 10 {
            for state in [State::AwaitingPayment, State::Cancelled] {
                let (order, status) = (self::order(state.clone()), state.status());
                prop_assert_eq!(order.pay(at(now)), Err(OrderRefusal::Expired { order: id(), status, pay_before: at(10) }));
            }
        }
    }
}

#[test]
fn repeating_a_payment_or_cancellation_changes_nothing() {
    assert_eq!(order(State::Paid).pay(at(99)), Ok(None));
    assert_eq!(order(State::Cancelled).cancel(), Ok(None));
}

#[test]
fn customers_read_sentences() {
    let read = |transition: Transition| -> Vec<String> {
        transition.events().iter().map(|event| event.message().to_owned()).collect()
    };
    let waiting = order(State::AwaitingPayment);
    assert_eq!(
        read(settled(true)),
        ["Order 5 is created.", "Order 5 awaits payment until 00:00:10 UTC on 1 Jan 1970."]
    );
    assert_eq!(read(settled(false)), ["Order 5 is created.", "Order 5 failed: not enough units of SKU 7 in stock."]);
    assert_eq!(read(waiting.pay(at(0)).unwrap().unwrap()), ["Order 5 is paid."]);
    assert_eq!(read(waiting.cancel().unwrap().unwrap()), ["Order 5 is cancelled."]);
    assert_eq!(read(waiting.expire(at(10)).unwrap()), ["Order 5 is cancelled: its payment did not arrive in time."]);
}

#[test]
fn every_status_is_read_as_it_is_written() {
    for status in Status::VARIANTS {
        assert_eq!(status.to_string().parse(), Ok(*status));
    }
    assert!("payed".parse::<Status>().is_err());
}
