//! How Postgres does the statements of a service.

use std::{fs, path::Path};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::TestDatabase;

/// A statement that sqlx keeps.
struct Statement {
    /// The comment that it begins with.
    name: String,
    sql: String,
    parameters: usize,
}

fn statements(queries: &Path) -> impl Iterator<Item = Statement> {
    fs::read_dir(queries).expect("the queries can be read").map(|file| {
        let text = fs::read_to_string(file.expect("a file").path()).expect("a query can be read");
        let query: Value = serde_json::from_str(&text).expect("a query is JSON");
        let sql = query["query"].as_str().expect("a text");
        let name = sql.trim_start().trim_start_matches("/*").split_once("*/").map_or(sql, |(name, _)| name.trim());
        let parameters = query["describe"]["parameters"]["Left"].as_array().map_or(0, Vec::len);
        Statement { name: name.to_owned(), sql: sql.to_owned(), parameters }
    })
}

impl TestDatabase {
    /// Asserts that no statement of a service reads a table from one end to the other, but for those in `except`.
    /// `queries` is where sqlx keeps the statements, `settings` are those of the service's sessions.
    pub async fn assert_bounded(&self, queries: &Path, settings: &[(&str, &str)], except: &[&str]) {
        let mut connection = self.session(settings).await;
        for Statement { name, sql, parameters } in statements(queries) {
            let nulls = vec!["NULL"; parameters].join(", ");
            let arguments = if parameters == 0 { String::new() } else { format!("({nulls})") };
            connection.execute(AssertSqlSafe(format!("PREPARE statement AS {sql}"))).await.expect(&sql);
            let execute = format!("EXECUTE statement{arguments}");
            let explain = AssertSqlSafe(format!("EXPLAIN (FORMAT JSON) {execute}"));
            let plan: Value = sqlx::query_scalar(explain).fetch_one(&mut connection).await.expect(&sql);
            if is_unbounded(&plan[0]["Plan"], false) {
                let explain = AssertSqlSafe(format!("EXPLAIN {execute}"));
                let lines: Vec<String> = sqlx::query_scalar(explain).fetch_all(&mut connection).await.expect(&sql);
                assert!(except.contains(&&*name), "{name} does:\n{}", lines.join("\n"));
            }
            connection.execute("DEALLOCATE statement").await.expect("it was prepared");
        }
    }

    /// Runs a statement of a service with these arguments, written in SQL. Answers the indexes by which it reads, each with
    /// the number of rows that it reads there.
    pub async fn indexes_read(
        &self,
        queries: &Path,
        settings: &[(&str, &str)],
        statement: &str,
        arguments: &str,
    ) -> Vec<(String, u64)> {
        let mut connection = self.session(settings).await;
        let found = statements(queries).find(|found| found.name == statement).expect(statement);
        connection.execute(AssertSqlSafe(format!("PREPARE statement AS {}", found.sql))).await.expect(statement);
        let explain = AssertSqlSafe(format!("EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE statement({arguments})"));
        let plan: Value = sqlx::query_scalar(explain).fetch_one(&mut connection).await.expect(statement);
        let mut indexes = Vec::new();
        find_indexes(&plan[0]["Plan"], &mut indexes);
        indexes
    }

    async fn session(&self, settings: &[(&str, &str)]) -> PgConnection {
        let mut connection = PgConnection::connect(&self.url).await.expect("the database answers");
        for (name, value) in settings {
            connection.execute(AssertSqlSafe(format!("SET {name} = {value}"))).await.expect("a setting is set");
        }
        connection
    }
}

/// Whether a part of a plan reads all of a table. What has a limit stops when it has enough.
fn is_unbounded(node: &Value, is_limited: bool) -> bool {
    let kind = node["Node Type"].as_str().unwrap_or_default();
    let has_condition = node.get("Index Cond").is_some();
    let reads_all = match kind {
        "Seq Scan" => true,
        "Index Scan" | "Index Only Scan" | "Bitmap Index Scan" => !has_condition && !is_limited,
        _ => false,
    };
    // What sorts or adds up reads everything first.
    let is_limited = kind == "Limit" || is_limited && !["Sort", "Aggregate", "Hash", "WindowAgg"].contains(&kind);
    let parts = node["Plans"].as_array();
    reads_all || parts.is_some_and(|parts| parts.iter().any(|part| is_unbounded(part, is_limited)))
}

/// The indexes that a part of a plan has read, and the rows, with those that did not pass its filter.
fn find_indexes(node: &Value, found: &mut Vec<(String, u64)>) {
    if let Some(index) = node["Index Name"].as_str() {
        let number = |key: &str| node[key].as_f64().unwrap_or_default();
        let rows = (number("Actual Rows") + number("Rows Removed by Filter")) * number("Actual Loops");
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rows are counted")]
        found.push((index.to_owned(), rows.round() as u64));
    }
    for part in node["Plans"].as_array().into_iter().flatten() {
        find_indexes(part, found);
    }
}
