//! A transaction: it takes queries as sqlx's connections do, and passes them on, each in a span of its own.

use futures::{
    FutureExt as _, StreamExt as _, TryFutureExt as _, TryStreamExt as _, future::BoxFuture, stream::BoxStream,
};
use sqlx::{
    Describe, Either, Execute, Executor, Postgres, SqlStr,
    error::BoxDynError,
    postgres::{PgArguments, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};

use super::observe::Observed;
use crate::failure::Failure;

/// A transaction that is rolled back when dropped.
#[derive(Debug)]
pub struct Transaction {
    inner: sqlx::Transaction<'static, Postgres>,
    observed: Observed,
}

impl Transaction {
    pub(super) fn new(inner: sqlx::Transaction<'static, Postgres>, observed: Observed) -> Self {
        Self { inner, observed }
    }

    /// Makes everything done in it durable. When this fails it is in doubt whether it happened.
    pub async fn commit(self) -> Result<(), Failure> {
        let Self { inner, mut observed } = self;
        let commit = observed.command("commit");
        match inner.commit().await {
            Ok(()) => {
                observed.commit();
                Ok(())
            }
            Err(error) => {
                observed.fail(&commit, &error);
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
        let query = Query::of(query);
        let statement = self.observed.statement(query.text());
        let observed = &mut self.observed;
        let rows = (&mut *self.inner).fetch_many(query);
        rows.inspect_err(move |error| observed.fail(&statement, error)).boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let query = Query::of(query);
        let statement = self.observed.statement(query.text());
        let observed = &mut self.observed;
        let row = (&mut *self.inner).fetch_optional(query);
        row.inspect_err(move |error| observed.fail(&statement, error)).boxed()
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

/// A query that was taken apart, for its text.
pub(super) struct Query {
    sql: SqlStr,
    arguments: Option<Result<Option<PgArguments>, BoxDynError>>,
    persistent: bool,
}

impl Query {
    pub(super) fn of<'q>(mut query: impl Execute<'q, Postgres>) -> Self {
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
