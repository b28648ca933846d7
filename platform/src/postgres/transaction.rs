//! A transaction. It executes queries as sqlx's connections do, each in its own span.

use futures::{
    FutureExt as _, StreamExt as _, TryStreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    Describe, Either, Execute, Executor, PgConnection, Postgres, Row as _, SqlStr,
    error::BoxDynError,
    postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};

use super::{lease::Lease, observe::TransactionGuard};
use crate::failure::Failure;

/// A transaction that is rolled back when dropped.
#[derive(Debug)]
pub struct Transaction {
    lease: Lease,
    guard: TransactionGuard,
}

impl Transaction {
    pub(super) fn new(lease: Lease, guard: TransactionGuard) -> Self {
        Self { lease, guard }
    }

    /// After an error, nobody knows whether the transaction was committed.
    pub async fn commit(self) -> Result<(), Failure> {
        let Self { mut lease, mut guard } = self;
        let span = guard.commit_span();
        match lease.commit().await {
            Ok(()) => {
                guard.set_committed();
                Ok(())
            }
            Err(error) => {
                guard.fail(&span, &error);
                Err(error.into())
            }
        }
    }

    /// Ends a transaction that has nothing to keep. Its locks are free afterwards; those of a transaction that is dropped
    /// are so a moment later.
    pub async fn release(self) -> Result<(), Failure> {
        let Self { mut lease, guard } = self;
        let span = guard.rollback_span();
        lease.roll_back().await.map_err(|error| {
            guard.fail(&span, &error);
            error.into()
        })
    }
}

impl Transaction {
    async fn run<T>(
        &mut self,
        query: Query,
        fetch: impl AsyncFnOnce(&mut PgConnection, Query) -> sqlx::Result<T>,
    ) -> sqlx::Result<T> {
        let span = self.guard.statement_span(query.text());
        let result = self.lease.execute(query, fetch).await;
        result.inspect_err(|error| self.guard.fail(&span, error))
    }
}

impl<'c> Executor<'c> for &'c mut Transaction {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        fetched(self.run(Query::new(query), fetch_all)).boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.run(Query::new(query), fetch_optional).boxed()
    }

    fn prepare_with<'e>(self, _: SqlStr, _: &'e [PgTypeInfo]) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'c: 'e,
    {
        not_offered()
    }

    fn describe<'e>(self, _: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
    where
        'c: 'e,
    {
        not_offered()
    }
}

/// All rows are read before the first is returned, so that the statement has ended.
pub(super) async fn fetch_all(
    connection: &mut PgConnection,
    query: Query,
) -> sqlx::Result<Vec<Either<PgQueryResult, PgRow>>> {
    let rows = connection.fetch_many(query).try_collect::<Vec<_>>().await?;
    if let Some(row) = rows.iter().find_map(|row| row.as_ref().right()) {
        require_values(row)?;
    }
    Ok(rows)
}

pub(super) async fn fetch_optional(connection: &mut PgConnection, query: Query) -> sqlx::Result<Option<PgRow>> {
    let row = connection.fetch_optional(query).await?;
    row.iter().try_for_each(require_values)?;
    Ok(row)
}

/// Reads the last value of a row. If there are fewer than the statement has columns, which shows that another statement
/// was executed, sqlx panics; here the panic is caught.
fn require_values(row: &PgRow) -> sqlx::Result<()> {
    row.len().checked_sub(1).map_or(Ok(()), |last| row.try_get_raw(last).map(drop))
}

pub(super) fn fetched<T>(
    rows: impl Future<Output = sqlx::Result<Vec<T>>>,
) -> impl futures::Stream<Item = sqlx::Result<T>> {
    stream::once(rows).map_ok(|rows| stream::iter(rows.into_iter().map(Ok))).try_flatten()
}

/// Queries that the compiler has checked need neither.
pub(super) fn not_offered<T: Send + 'static>() -> BoxFuture<'static, sqlx::Result<T>> {
    std::future::ready(Err(sqlx::Error::Protocol("statements are not prepared apart from their execution".into())))
        .boxed()
}

/// A copy of a query, so that its text can be read before it is executed.
pub(super) struct Query {
    sql: SqlStr,
    arguments: Option<Result<Option<PgArguments>, BoxDynError>>,
    /// Whether the statement gets a name in its session, and so is prepared only once.
    pub(super) persistent: bool,
}

impl Query {
    pub(super) fn new<'q>(mut query: impl Execute<'q, Postgres>) -> Self {
        let arguments = Some(query.take_arguments());
        let persistent = query.persistent();
        Self { sql: query.sql(), arguments, persistent }
    }

    pub(super) fn text(&self) -> &str {
        self.sql.as_str()
    }
}

impl Execute<'_, Postgres> for Query {
    fn sql(self) -> SqlStr {
        self.sql
    }

    fn statement(&self) -> Option<&PgStatement> {
        None
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        self.arguments.take().unwrap_or(Ok(None))
    }

    fn persistent(&self) -> bool {
        self.persistent
    }
}
