//! `AuditService`.

use mesh::{
    audit::{self, Filter, Record},
    fields::Fields,
};
use proto::{
    auth::v1::AuditEntry,
    chat::v1::{
        AuditServiceListRequest, AuditServiceListResponse, AuditServiceVerifyRequest, AuditServiceVerifyResponse,
        audit_service_server::AuditService,
    },
};
use tonic::{Request, Response, Status, async_trait};

use super::{Rpc, answer};
use crate::{errors::ChatError, store};

const MAX_ACTION_BYTES: usize = 128;

#[async_trait]
impl AuditService for Rpc {
    async fn list(
        &self,
        request: Request<AuditServiceListRequest>,
    ) -> Result<Response<AuditServiceListResponse>, Status> {
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let rows = fields.page_size(request.page_size, 50, 200);
            let actor = fields.optional_id("actor_id", &request.actor_id);
            let room = fields.optional_id("room_id", &request.room_id);
            if request.action.len() > MAX_ACTION_BYTES {
                fields.wrong("action", format!("must have at most {MAX_ACTION_BYTES} bytes"));
            }
            fields.done()?;
            let filter = Filter {
                before: Some(request.before_seq).filter(|before| *before > 0),
                actor,
                subject: room.map(|room| room.to_string()),
                action: Some(request.action).filter(|action| !action.is_empty()),
            };
            let mut records = audit::list(self.0.db.reader(), &filter, rows + 1).await?;
            let more = mesh::db::cut_page(&mut records, rows);
            let next_before_seq = records.last().filter(|_| more).map_or(0, |record| record.seq);
            let entries = records.into_iter().map(entry).collect();
            Ok::<_, ChatError>(AuditServiceListResponse { entries, next_before_seq })
        };
        answer(self.0.db.within(run).await)
    }

    async fn verify(
        &self,
        _: Request<AuditServiceVerifyRequest>,
    ) -> Result<Response<AuditServiceVerifyResponse>, Status> {
        let run = async {
            let verified = audit::verify(&self.0.db.snapshot().await?).await?;
            Ok::<_, ChatError>(AuditServiceVerifyResponse {
                intact: verified.first_broken.is_none(),
                first_broken_seq: verified.first_broken.unwrap_or(0),
                entries: verified.entries,
                head_seq: verified.head_seq,
                head_hash: verified.head_hash.into(),
            })
        };
        answer(run.await)
    }
}

fn entry(record: Record) -> AuditEntry {
    AuditEntry {
        seq: record.seq,
        at: Some(store::timestamp(store::micros(record.at))),
        actor_id: record.actor.map(|actor| actor.to_string()).unwrap_or_default(),
        action: record.action,
        subject_id: record.subject,
        details: record.details.into_iter().collect(),
        address: record.address,
        trace: record.trace,
        hash: record.hash.into(),
    }
}
