//! A transaction. It executes queries as sqlx's connections do, each in its own span.

use futures::{
    FutureExt as _, StreamExt as _, TryFutureExt as _, TryStreamExt as _, future::BoxFuture, stream::BoxStream,
};
use sqlx::{
    Describe, Either, Execute, Executor, Postgres, SqlStr,
    error::BoxDynError,
    postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};

use super::observe::TransactionGuard;
use crate::failure::Failure;

/// A transaction that is rolled back when dropped.
#[derive(Debug)]
pub struct Transaction {
    inner: sqlx::Transaction<'static, Postgres>,
    guard: TransactionGuard,
}

impl Transaction {
    pub(super) fn new(inner: sqlx::Transaction<'static, Postgres>, guard: TransactionGuard) -> Self {
        Self { inner, guard }
    }

    /// After an error, nobody knows whether the transaction was committed.
    pub async fn commit(self) -> Result<(), Failure> {
        let Self { inner, mut guard } = self;
        let span = guard.commit_span();
        match inner.commit().await {
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
}

impl<'c> Executor<'c> for &'c mut Transaction {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let query = Query::new(query);
        let span = self.guard.statement_span(query.text());
        let guard = &self.guard;
        let rows = (&mut *self.inner).fetch_many(query);
        rows.inspect_err(move |error| guard.fail(&span, error)).boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let query = Query::new(query);
        let span = self.guard.statement_span(query.text());
        let guard = &self.guard;
        let row = (&mut *self.inner).fetch_optional(query);
        row.inspect_err(move |error| guard.fail(&span, error)).boxed()
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [PgTypeInfo]) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'c: 'e,
    {
        (&mut *self.inner).prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
    where
        'c: 'e,
    {
        (&mut *self.inner).describe(sql)
    }
}

/// A copy of a query, so that its text can be read before it is executed.
pub(super) struct Query {
    sql: SqlStr,
    arguments: Option<Result<Option<PgArguments>, BoxDynError>>,
    persistent: bool,
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
