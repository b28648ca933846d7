//! The service `notifications.Notifications`: each RPC reads its request, has a use case do the work, and writes the answer.

use proto::notifications::{
    GetHistoryWithPeriodRequest, GetHistoryWithPeriodResponse, notifications_server::Notifications,
};
use tonic::{Request, Response, Status};

use crate::usecase::Messages;

mod wire;

pub struct Service {
    pub messages: Messages,
}

#[tonic::async_trait]
impl Notifications for Service {
    async fn get_history_with_period(
        &self,
        request: Request<GetHistoryWithPeriodRequest>,
    ) -> Result<Response<GetHistoryWithPeriodResponse>, Status> {
        let command = wire::get_history_with_period(request.into_inner())?;
        let page = self.messages.list(&command).await?;
        Ok(Response::new(wire::get_history_with_period_response(command.user, page)))
    }
}
