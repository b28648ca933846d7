//! The private Postgres.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use sqlx::{Connection as _, PgConnection};
use stack::{
    ports,
    postgres::{Postgres, cluster_home},
};

async fn durable(state: &Path) -> Postgres {
    let log = state.join("postgres.log");
    Postgres::durable(state, ports::free().unwrap(), false, &log, &mut |_| ()).await.unwrap()
}

async fn query(url: &str, question: &'static str) -> Result<String, sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::query_scalar(question).fetch_one(&mut connection).await
}

#[tokio::test]
async fn a_throw_away_cluster_leaves_nothing_behind() {
    let mut postgres = Postgres::throw_away().await.unwrap();
    let directory = PathBuf::from(query(&postgres.url("postgres"), "show data_directory").await.unwrap());
    let pid = postgres.process().id();
    assert!(directory.exists());
    assert!(stack::process::command_line(pid).is_some());

    postgres.stop().await;
    assert_eq!(stack::process::command_line(pid), None);
    assert!(!directory.parent().unwrap().exists());
}

#[tokio::test]
async fn a_dropped_cluster_leaves_nothing_behind() {
    let postgres = Postgres::throw_away().await.unwrap();
    let directory = PathBuf::from(query(&postgres.url("postgres"), "show data_directory").await.unwrap());
    drop(postgres);
    assert!(!directory.parent().unwrap().exists());
}

#[tokio::test]
async fn nobody_gets_in_without_the_password() {
    let postgres = Postgres::throw_away().await.unwrap();
    let url = format!("postgres://postgres:guess@127.0.0.1:{}/postgres", postgres.port());
    assert!(query(&url, "select 'in'").await.unwrap_err().to_string().contains("password authentication failed"));
}

#[tokio::test]
async fn a_lasting_cluster_keeps_its_data_also_when_its_launcher_was_killed() {
    let state = tempfile::tempdir().unwrap();
    let first = durable(state.path()).await;
    let url = first.database("loms").await.unwrap();
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("create table kept as select 'still here' as word").execute(&mut connection).await.unwrap();
    // As if this process had been killed: nothing is stopped, nothing is dropped.
    std::mem::forget(first);

    let second = durable(state.path()).await;
    let url = second.database("loms").await.unwrap();
    assert_eq!(query(&url, "select word from kept").await.unwrap(), "still here");
    second.stop().await;
}

#[tokio::test]
async fn a_cluster_below_a_closed_directory_is_kept_where_its_account_can_reach_it() {
    let state = tempfile::tempdir().unwrap();
    fs::set_permissions(state.path(), fs::Permissions::from_mode(0o700)).unwrap();
    durable(state.path()).await.stop().await;
    let home = cluster_home(state.path()).unwrap();
    assert!(home.join("data").exists());
    // Only root's Postgres runs as another account.
    assert_eq!(home.starts_with("/var/tmp"), rustix::process::geteuid().is_root());

    durable(state.path()).await.stop().await;
    assert_eq!(cluster_home(state.path()).unwrap(), home);
    fs::remove_dir_all(home).unwrap();
}
