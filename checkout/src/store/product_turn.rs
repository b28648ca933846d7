//! The table `product_turn`: what ProductService allows, shared by all replicas.

use std::time::Duration;

use platform::failure::Failure;
use sqlx::PgExecutor;
use uuid::Uuid;

/// A call that may be made: its place in a second, and among those that run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    pub in_a_second: i32,
    pub at_once: i32,
    /// Tells it from the same places taken again later.
    pub holder: Uuid,
}

/// Makes what is missing of so many calls in a second and at once.
pub async fn make(on: impl PgExecutor<'_>, in_a_second: u16, at_once: u16) -> Result<(), Failure> {
    sqlx::query!(
        r#"
        /* make_product_turns */
        INSERT INTO product_turn (bound, number)
        SELECT 'in_a_second', * FROM generate_series(1, $1::integer)
        UNION ALL SELECT 'at_once', * FROM generate_series(1, $2::integer)
        ON CONFLICT (bound, number) DO NOTHING
        "#,
        i32::from(in_a_second),
        i32::from(at_once),
    )
    .execute(on)
    .await?;
    Ok(())
}

/// Why there is no turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoTurn {
    /// One is free after so long.
    For(Duration),
    /// They are still to be [made](make), or somebody has deleted them.
    Unmade,
}

/// Takes a turn for `lease` at most, if one is free among the first `in_a_second` and `at_once`.
pub async fn take(
    on: impl PgExecutor<'_>,
    in_a_second: u16,
    at_once: u16,
    lease: Duration,
) -> Result<Result<Taken, NoTurn>, Failure> {
    let holder = Uuid::now_v7();
    let row = sqlx::query!(
        r#"
        /* take_product_turn */
        WITH slot AS MATERIALIZED (
            SELECT number FROM product_turn
            WHERE bound = 'in_a_second' AND number <= $1 AND free_at <= now()
            ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED
        ), place AS MATERIALIZED (
            SELECT number FROM product_turn
            WHERE bound = 'at_once' AND number <= $2 AND free_at <= now()
            ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED
        ), taken AS (
            UPDATE product_turn SET free_at = now() + make_interval(secs => $3), holder = $4
            FROM (SELECT 'in_a_second' AS bound, number FROM slot UNION ALL SELECT 'at_once', number FROM place) AS free
            WHERE product_turn.bound = free.bound AND product_turn.number = free.number
                AND (SELECT number FROM slot) IS NOT NULL AND (SELECT number FROM place) IS NOT NULL
            RETURNING 1
        )
        SELECT (SELECT number FROM slot) AS in_a_second, (SELECT number FROM place) AS at_once,
            (SELECT count(*) FROM taken) AS "taken!",
            extract(epoch FROM greatest(
                (SELECT min(free_at) FROM product_turn WHERE bound = 'in_a_second' AND number <= $1),
                (SELECT min(free_at) FROM product_turn WHERE bound = 'at_once' AND number <= $2)
            ) - now())::double precision AS free_in
        "#,
        i32::from(in_a_second),
        i32::from(at_once),
        lease.as_secs_f64(),
        holder,
    )
    .fetch_one(on)
    .await?;
    Ok(match (row.in_a_second, row.at_once) {
        (Some(in_a_second), Some(at_once)) if row.taken == 2 => Ok(Taken { in_a_second, at_once, holder }),
        _ => Err(row
            .free_in
            .map_or(NoTurn::Unmade, |seconds| NoTurn::For(Duration::try_from_secs_f64(seconds).unwrap_or_default()))),
    })
}

/// Gives a turn back: another call may run at once, and another may arrive after `pause`.
pub async fn give_back(on: impl PgExecutor<'_>, taken: Taken, pause: Duration) -> Result<(), Failure> {
    sqlx::query!(
        r#"
        /* give_back_product_turn */
        UPDATE product_turn SET free_at = now() + make_interval(secs => given.pause), holder = NULL
        FROM (VALUES ('in_a_second', $1::integer, $3::double precision), ('at_once', $2, 0)) AS given (bound, number, pause)
        WHERE product_turn.bound = given.bound AND product_turn.number = given.number AND holder = $4
        "#,
        taken.in_a_second,
        taken.at_once,
        pause.as_secs_f64(),
        taken.holder,
    )
    .execute(on)
    .await?;
    Ok(())
}
