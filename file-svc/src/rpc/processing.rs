//! The internal `ProcessingService`.

use mesh::fields::Fields;
use proto::file::internal::v1::{
    FinishProcessingRequest, FinishProcessingResponse, GetProcessingRequest, GetProcessingResponse,
    processing_service_server::ProcessingService,
};
use tonic::{Request, Response, Status, async_trait};

use super::{Rpc, answer};
use crate::{errors::FileError, processing};

#[async_trait]
impl ProcessingService for Rpc {
    async fn get_processing(
        &self,
        request: Request<GetProcessingRequest>,
    ) -> Result<Response<GetProcessingResponse>, Status> {
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let id = fields.id("file_id", &request.file_id);
            fields.done()?;
            processing::work(self.0.db.reader(), id, &self.0.scanner).await
        };
        answer(self.0.db.within(run).await)
    }

    async fn finish_processing(
        &self,
        request: Request<FinishProcessingRequest>,
    ) -> Result<Response<FinishProcessingResponse>, Status> {
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let id = fields.id("file_id", &request.file_id);
            fields.done()?;
            if request.outcome.is_none() {
                return Err(FileError::invalid("outcome", "is required"));
            }
            let tx = self.0.db.begin().await?;
            let staging_keys = processing::finish(&tx, id, request, &self.0.limits, self.0.clock.now()).await?;
            tx.commit().await?;
            self.0.wake.now();
            self.0.receiver.trash.wake();
            Ok(FinishProcessingResponse { staging_keys })
        };
        answer(run.await)
    }
}
