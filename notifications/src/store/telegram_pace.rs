//! The table `telegram_pace`: how much a chat may still get, for all replicas.

use std::time::Duration;

use platform::{
    failure::Failure,
    postgres::{Transaction, expect_rows},
};
use sqlx::PgExecutor;

/// Holds the row of a chat until the transaction ends. Answers how long until the chat may get as much at once as ever.
pub async fn lock(transaction: &mut Transaction, chat: &str) -> Result<Duration, Failure> {
    let seconds = sqlx::query_scalar!(
        r#"
        /* lock_telegram_pace */
        INSERT INTO telegram_pace AS pace (chat) VALUES ($1)
        ON CONFLICT (chat) DO UPDATE SET full_at = greatest(pace.full_at, now())
        RETURNING extract(epoch FROM CASE WHEN full_at > clock_timestamp() THEN full_at - clock_timestamp()
            ELSE interval '0' END)::double precision AS "seconds!"
        "#,
        chat,
    )
    .fetch_one(&mut *transaction)
    .await?;
    Ok(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// Notes that the chat gets something, of which so much time is to pass until it may get as much as before.
pub async fn spend(transaction: &mut Transaction, chat: &str, time: Duration) -> Result<(), Failure> {
    let spent = sqlx::query!(
        r#"
        /* spend_telegram_pace */
        UPDATE telegram_pace SET full_at = greatest(full_at, clock_timestamp()) + make_interval(secs => $2)
        WHERE chat = $1
        "#,
        chat,
        time.as_secs_f64(),
    )
    .execute(&mut *transaction)
    .await?;
    expect_rows("spend_telegram_pace", 1, &spent)
}

/// Notes that the chat gets nothing for so long, whatever it could have got.
pub async fn rest(on: impl PgExecutor<'_>, chat: &str, until_full: Duration) -> Result<(), Failure> {
    sqlx::query!(
        r#"
        /* rest_telegram_pace */
        UPDATE telegram_pace SET full_at = greatest(full_at, clock_timestamp() + make_interval(secs => $2))
        WHERE chat = $1
        "#,
        chat,
        until_full.as_secs_f64(),
    )
    .execute(on)
    .await?;
    Ok(())
}
