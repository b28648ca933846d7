//! Turns messages into commands, with every violation at once, and results into messages.

use chrono::NaiveDate;
use platform::grpc::status::Violations;
use proto::{
    ids::UserId,
    notifications::{self as wire, Date, GetHistoryWithPeriodRequest, GetHistoryWithPeriodResponse},
    page::{self, Position},
    timestamp,
};

use crate::{
    domain::history::{Message, Period},
    usecase::list::{ListHistory, MAX_PAGE, Page},
};

pub fn get_history_with_period(request: GetHistoryWithPeriodRequest) -> Result<ListHistory, Violations> {
    let mut violations = Violations::default();
    let user = violations.check("user", UserId::try_from(request.user));
    let from = violations.check("from", day(request.from));
    let to = violations.check("to", day(request.to));
    let period = from.zip(to).and_then(|(from, to)| violations.check("to", Period::of_days(from, to)));
    let after = violations.check("page_token", position(&request.page_token, user, period));
    match (user, period, after) {
        (Some(user), Some(period), Some(after)) => {
            let after = after.unwrap_or_else(|| period.before_first());
            Ok(ListHistory { user, period, after, page_size: page::size(request.page_size, MAX_PAGE) })
        }
        (_, _, _) => Err(violations),
    }
}

pub fn get_history_with_period_response(user: UserId, page: Page) -> GetHistoryWithPeriodResponse {
    GetHistoryWithPeriodResponse {
        messages: page.messages.into_iter().map(message).collect(),
        next_page_token: page.next.map(|next| next.to_token(user)).unwrap_or_default(),
    }
}

fn message(Message { position, order, user, status, text }: Message) -> wire::Message {
    wire::Message {
        order_id: order.get(),
        user_id: user.get(),
        status,
        message: text,
        created_at: Some(timestamp(position.at)),
    }
}

fn day(date: Option<Date>) -> Result<NaiveDate, &'static str> {
    let Date { year, month, day } = date.ok_or("is required")?;
    let (month, day) = (u32::try_from(month).unwrap_or(0), u32::try_from(day).unwrap_or(0));
    NaiveDate::from_ymd_opt(year, month, day)
        .filter(|_| (1..=9999).contains(&year))
        .ok_or("must be a day of the calendar, with a year from 1 to 9999")
}

/// The place that a token names; none for the empty one. Whose it is, and within which period it lies, can be told if that
/// is known.
fn position(token: &str, user: Option<UserId>, period: Option<Period>) -> Result<Option<Position>, &'static str> {
    if token.is_empty() {
        return Ok(None);
    }
    Position::read(token, user)
        .filter(|position| period.is_none_or(|period| period.holds(*position)))
        .map(Some)
        .ok_or("must be the next_page_token of a page of this user and period")
}
