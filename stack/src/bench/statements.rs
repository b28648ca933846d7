//! What the statements of a journey cost in Postgres, as pg_stat_statements counts them. A fleet of its own, because the
//! counting costs something, too.

use std::fmt::Write as _;

use sqlx::{Connection as _, PgConnection, Row as _};

use super::{
    Bench, Course,
    loads::{CROWD, JOURNEY, Load},
    page,
};
use crate::{Say, load::Scenario};

/// The rest is shown as one.
const MOST_SHOWN: usize = 15;

#[derive(Debug, Clone)]
struct Statement {
    name: String,
    calls: f64,
    /// In milliseconds.
    time: f64,
}

const LOAD: Load = Load::users(JOURNEY, Scenario::Purchase, CROWD);

/// Returns a table of the statements of the journeys of many users.
pub(super) async fn statements(course: Course, say: Say<'_>) -> anyhow::Result<String> {
    let mut bench = Bench::start_with(course, say, |settings| settings.counts_statements = true).await?;
    let measured = bench.measure_statements(say).await;
    bench.fleet.stop().await;
    measured
}

impl Bench {
    async fn measure_statements(&mut self, say: Say<'_>) -> anyhow::Result<String> {
        self.shop(LOAD, self.course.warm_up).await?;
        self.calm().await?;
        let mut connection = PgConnection::connect(&self.fleet.superusers_database()).await?;
        sqlx::query("SELECT pg_stat_statements_reset()").execute(&mut connection).await?;
        let journeys = self.measure(LOAD, say).await?.line()?.count;
        // The statements of this program have no name.
        let rows = sqlx::query(
            "SELECT coalesce(substring(query from '^/\\* (\\w+) \\*/'), substring(query from '^(BEGIN|COMMIT|ROLLBACK)')) AS name,
                    sum(calls)::double precision AS calls, sum(total_exec_time) AS time
             FROM pg_stat_statements GROUP BY 1 HAVING count(*) > 0 ORDER BY 3 DESC",
        )
        .fetch_all(&mut connection)
        .await?;
        let mut statements = Vec::new();
        for row in &rows {
            if let Some(name) = row.try_get(0)? {
                statements.push(Statement { name, calls: row.try_get(1)?, time: row.try_get(2)? });
            }
        }
        Ok(table(&statements, journeys)?)
    }
}

fn table(statements: &[Statement], journeys: u64) -> Result<String, std::fmt::Error> {
    #[allow(clippy::cast_precision_loss, reason = "a mean is not that exact")]
    let journeys = journeys.max(1) as f64;
    let all: f64 = statements.iter().map(|statement| statement.time).sum();
    let (shown, rest) = statements.split_at(MOST_SHOWN.min(statements.len()));
    let sum = |value: fn(&Statement) -> f64| rest.iter().map(value).sum();
    let rest = Statement {
        name: format!("{} others", rest.len()),
        calls: sum(|statement| statement.calls),
        time: sum(|statement| statement.time),
    };
    let mut page = String::new();
    let calls: f64 = statements.iter().map(|statement| statement.calls).sum();
    writeln!(
        page,
        "\nWith {}, a journey is {:.2} statements that take Postgres {:.3} ms (pg_stat_statements, on a fleet of its own):\n",
        page::pace(LOAD.pace),
        calls / journeys,
        all / journeys
    )?;
    writeln!(page, "| statement | a journey | ms of a journey | share |")?;
    writeln!(page, "|---|---|---|---|")?;
    for Statement { name, calls, time } in shown.iter().chain([&rest]) {
        let (calls, ms) = (calls / journeys, time / journeys);
        writeln!(page, "| {name} | {calls:.3} | {ms:.4} | {:.0} % |", 100.0 * time / all)?;
    }
    Ok(page)
}
