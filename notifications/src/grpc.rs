//! The service as its callers see it.

mod wire;

use platform::postgres::Database;
use proto::notifications::{
    GetHistoryWithPeriodRequest, GetHistoryWithPeriodResponse, notifications_server::Notifications,
};
use tonic::{Request, Response, Status};

/// `notifications.Notifications`.
pub struct Service {
    database: Database,
}

impl Service {
    /// Answers from what is kept in `database`.
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

#[tonic::async_trait]
impl Notifications for Service {
    async fn get_history_with_period(
        &self,
        request: Request<GetHistoryWithPeriodRequest>,
    ) -> Result<Response<GetHistoryWithPeriodResponse>, Status> {
        let page = wire::list_history(request.into_inner())?.run(&self.database).await?;
        Ok(Response::new(wire::history(page)))
    }
}
