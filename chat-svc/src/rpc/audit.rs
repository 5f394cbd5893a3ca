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
            let action = audit::wanted(&mut fields, "action", request.action);
            fields.done()?;
            let filter = Filter {
                before: Some(request.before_seq).filter(|before| *before > 0),
                actor,
                subject: room.map(|room| room.to_string()),
                action,
            };
            let (records, next_before_seq) = audit::page(self.0.db.reader(), &filter, rows).await?;
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
