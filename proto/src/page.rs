//! Pages of what a user has, in the order of time: how long they are, and the tokens that name the place where one ends.

use chrono::{DateTime, Datelike as _, Utc};

use crate::ids::UserId;

/// How many entries a page has at most of which a caller asks for so many; 0 stands for as many as there may be.
pub fn size(requested: u32, most: u32) -> u32 {
    if requested == 0 { most } else { requested.min(most) }
}

/// The place of an entry in a list that is in the order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The moment of the entry, in microseconds.
    pub at: DateTime<Utc>,
    /// The number of the entry, which tells it from others of the same moment.
    pub id: i64,
}

impl Position {
    /// As an opaque text, which [`Position::read`] reads again for this user.
    pub fn to_token(self, user: UserId) -> String {
        format!("{:016x}{:016x}{:016x}", user.get(), self.at.timestamp_micros(), self.id)
    }

    /// Reads what [`Position::to_token`] wrote for a user, and nothing else. Whose token it is can be told if the user is
    /// known.
    pub fn read(token: &str, user: Option<UserId>) -> Option<Self> {
        let (owner, place) = token.split_at_checked(16)?;
        let (micros, id) = place.split_at_checked(16)?;
        let number = |digits| u64::from_str_radix(digits, 16).ok().map(u64::cast_signed);
        let owner = UserId::try_from(number(owner)?).ok()?;
        let position = Self { at: DateTime::from_timestamp_micros(number(micros)?)?, id: number(id)? };
        // A moment that messages can carry, so that no database stumbles over it.
        let can_be = (1..=9999).contains(&position.at.year()) && position.id > 0;
        let is_written_so = position.to_token(owner) == token;
        (can_be && is_written_so && user.is_none_or(|user| user == owner)).then_some(position)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn at(text: &str, id: i64) -> Position {
        Position { at: text.parse().unwrap(), id }
    }

    fn user(number: i64) -> UserId {
        number.try_into().unwrap()
    }

    #[test]
    fn a_page_is_as_long_as_asked_for_up_to_the_longest() {
        assert_eq!([0, 1, 9, 10, 11, u32::MAX].map(|requested| size(requested, 10)), [10, 1, 9, 10, 10, 10]);
    }

    #[test]
    fn a_position_survives_its_token_for_its_user_and_nothing_else_is_one() {
        for position in [at("2026-11-22T10:00:00.123456Z", 7), at("0001-01-01T00:00:00Z", i64::MAX)] {
            for owner in [user(1), user(i64::MAX)] {
                let token = position.to_token(owner);
                assert_eq!(Position::read(&token, Some(owner)), Some(position));
                assert_eq!(Position::read(&token, None), Some(position));
                assert_eq!(Position::read(&token, Some(user(2))), None);
            }
        }
        let token = at("2026-11-22T10:00:00Z", 255).to_token(user(7));
        let longer = format!("{token}0");
        let upper = token.to_uppercase();
        let signed = format!("+{}", &token[1..]);
        let no_user = "0".repeat(16) + &token[16..];
        let no_number = token[..32].to_owned() + &"0".repeat(16);
        let no_time = format!("{}{:016x}{}", &token[..16], i64::MAX, &token[32..]);
        let too_late = at("9999-12-31T23:59:59Z", 1);
        let too_late = Position { at: too_late.at + chrono::TimeDelta::seconds(1), ..too_late }.to_token(user(7));
        let nonsense = "z".repeat(48);
        for broken in
            ["", "x", "é", &token[1..], &longer, &upper, &signed, &no_user, &no_number, &no_time, &too_late, &nonsense]
        {
            assert_eq!(Position::read(broken, None), None, "{broken}");
        }
        assert_eq!(Position::read(&"é".repeat(24), None), None);
    }
}
