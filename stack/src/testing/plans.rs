//! How Postgres does the statements of a service.

use std::{fs, path::Path};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::TestDatabase;

impl TestDatabase {
    /// Asserts that no statement of a service reads a table from one end to the other, but for those in `except`.
    /// `queries` is where sqlx keeps the statements, `settings` are those of the service's sessions.
    pub async fn assert_bounded(&self, queries: &Path, settings: &[(&str, &str)], except: &[&str]) {
        let mut connection = PgConnection::connect(&self.url).await.expect("the database answers");
        for (name, value) in settings {
            connection.execute(AssertSqlSafe(format!("SET {name} = {value}"))).await.expect("a setting is set");
        }
        for file in fs::read_dir(queries).expect("the queries can be read") {
            let text = fs::read_to_string(file.expect("a file").path()).expect("a query can be read");
            let query: Value = serde_json::from_str(&text).expect("a query is JSON");
            let (sql, parameters) =
                (query["query"].as_str().expect("a text"), &query["describe"]["parameters"]["Left"]);
            let count = parameters.as_array().map_or(0, Vec::len);
            let nulls = vec!["NULL"; count].join(", ");
            let arguments = if count == 0 { String::new() } else { format!("({nulls})") };
            connection.execute(AssertSqlSafe(format!("PREPARE statement AS {sql}"))).await.expect(sql);
            let execute = format!("EXECUTE statement{arguments}");
            let explain = AssertSqlSafe(format!("EXPLAIN (FORMAT JSON) {execute}"));
            let plan: Value = sqlx::query_scalar(explain).fetch_one(&mut connection).await.expect(sql);
            if is_unbounded(&plan[0]["Plan"], false) {
                let name =
                    sql.trim_start().trim_start_matches("/*").split_once("*/").map_or(sql, |(name, _)| name.trim());
                let explain = AssertSqlSafe(format!("EXPLAIN {execute}"));
                let lines: Vec<String> = sqlx::query_scalar(explain).fetch_all(&mut connection).await.expect(sql);
                assert!(except.contains(&name), "{name} does:\n{}", lines.join("\n"));
            }
            connection.execute("DEALLOCATE statement").await.expect("it was prepared");
        }
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
