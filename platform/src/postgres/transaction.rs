//! What statements are made on. Each is traced: the types below take queries as sqlx's connections do, and pass them on.

use std::task::{Context, Poll};

use futures::{
    FutureExt as _, StreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    Describe, Either, Execute, Executor, Postgres, SqlStr,
    error::BoxDynError,
    pool::PoolConnection,
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

/// A connection for a single statement, which is a transaction of its own.
#[derive(Debug)]
pub struct Single {
    inner: PoolConnection<Postgres>,
    observed: Observed,
}

impl Single {
    pub(super) fn new(inner: PoolConnection<Postgres>, observed: Observed) -> Self {
        Self { inner, observed }
    }
}

/// Both pass a query on in a span of its own.
macro_rules! executor {
    ($name:ty) => {
        impl<'c> Executor<'c> for &'c mut $name {
            type Database = Postgres;

            fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
            where
                'c: 'e,
                E: 'q + Execute<'q, Postgres>,
            {
                let query = Query::of(query);
                let statement = self.observed.statement(query.sql.as_str());
                let observed = &mut self.observed;
                let mut rows = (&mut *self.inner).fetch_many(query);
                let observe = move |context: &mut Context<'_>| {
                    let next = rows.poll_next_unpin(context);
                    match &next {
                        Poll::Ready(None) => observed.succeed(),
                        Poll::Ready(Some(Err(error))) => observed.fail(&statement, error),
                        Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
                    }
                    next
                };
                stream::poll_fn(observe).boxed()
            }

            fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
            where
                'c: 'e,
                E: 'q + Execute<'q, Postgres>,
            {
                let query = Query::of(query);
                let statement = self.observed.statement(query.sql.as_str());
                let observed = &mut self.observed;
                let row = (&mut *self.inner).fetch_optional(query);
                let observe = async move {
                    let row = row.await;
                    match &row {
                        Ok(_) => observed.succeed(),
                        Err(error) => observed.fail(&statement, error),
                    }
                    row
                };
                observe.boxed()
            }

            fn prepare_with<'e>(
                self,
                sql: SqlStr,
                parameters: &'e [PgTypeInfo],
            ) -> BoxFuture<'e, sqlx::Result<PgStatement>>
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
    };
}

executor!(Transaction);
executor!(Single);

/// A query that was taken apart, for its text.
struct Query {
    sql: SqlStr,
    arguments: Option<Result<Option<PgArguments>, BoxDynError>>,
    persistent: bool,
}

impl Query {
    fn of<'q>(mut query: impl Execute<'q, Postgres>) -> Self {
        let arguments = Some(query.take_arguments());
        let persistent = query.persistent();
        Self { sql: query.sql(), arguments, persistent }
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
