//! Single statements: each is its own transaction, on a free connection of the pool.

use futures::{
    FutureExt as _, StreamExt as _, TryStreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    Describe, Either, Execute, Executor, Postgres, SqlStr,
    postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};

use super::{Database, observe::TransactionGuard, transaction::Query};

impl Database {
    async fn run_single<T>(
        &self,
        query: Query,
        fetch: impl AsyncFnOnce(&mut sqlx::PgConnection, Query) -> sqlx::Result<T>,
    ) -> sqlx::Result<T> {
        let mut connection = self.acquire(self.pool.acquire()).await?;
        let mut guard = TransactionGuard::single(query.text(), self.instrumentation.clone());
        let span = guard.statement_span(query.text());
        let result = fetch(&mut connection, query).await;
        match &result {
            Ok(_) => guard.set_committed(),
            Err(error) => guard.fail(&span, error),
        }
        result
    }
}

impl<'c> Executor<'c> for &'c Database {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        // All rows are read before the first is returned, so that the connection is free again.
        let rows = self.run_single(Query::new(query), async |connection, query| {
            connection.fetch_many(query).try_collect::<Vec<_>>().await
        });
        stream::once(rows).map_ok(|rows| stream::iter(rows.into_iter().map(Ok))).try_flatten().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.run_single(Query::new(query), async |connection, query| connection.fetch_optional(query).await).boxed()
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [PgTypeInfo]) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'c: 'e,
    {
        (&self.pool).prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<Describe<Postgres>>>
    where
        'c: 'e,
    {
        (&self.pool).describe(sql)
    }
}
