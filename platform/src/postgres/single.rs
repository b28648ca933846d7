//! Single statements: each is its own transaction, on a free connection of the pool.

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::BoxStream};
use sqlx::{
    Describe, Either, Execute, Executor, PgConnection, Postgres, SqlStr,
    postgres::{PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};

use super::{
    Database, Lane,
    lease::Begin,
    observe::TransactionGuard,
    transaction::{Query, fetch_all, fetch_optional, fetched, not_offered},
};

impl Database {
    async fn run_single<T>(
        &self,
        query: Query,
        fetch: impl AsyncFnOnce(&mut PgConnection, Query) -> sqlx::Result<T>,
    ) -> sqlx::Result<T> {
        let pool = match self.lane {
            Lane::Calls => &self.pools.reads,
            Lane::Background => &self.pools.background,
        };
        let crowding = pool.crowding();
        let mut lease = self.lend(pool).await?;
        let mut guard = TransactionGuard::single(query.text(), self.instrumentation.clone());
        let span = guard.statement_span(query.text());
        let result = async {
            // A pooler may give each message of a statement another session, unless they are in a transaction.
            if !pool.server().is_pooled() {
                return lease.execute(query, fetch).await;
            }
            lease.begin(crowding, &Begin::default()).await?;
            let result = lease.execute(query, fetch).await?;
            lease.commit().await?;
            Ok(result)
        };
        let result = result.await;
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
        fetched(self.run_single(Query::new(query), fetch_all)).boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.run_single(Query::new(query), fetch_optional).boxed()
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
