//! `AuditService`.

use mesh::{
    audit::{self, Filter, Record},
    fields::Fields,
};
use proto::auth::v1::{
    AuditEntry, AuditServiceListRequest, AuditServiceListResponse, AuditServiceVerifyRequest,
    AuditServiceVerifyResponse, audit_service_server::AuditService,
};
use tonic::{Request, Response, Status, async_trait};

use super::{Call, Rpc, answer};
use crate::{admin, errors::AuthError, store};

#[async_trait]
impl AuditService for Rpc {
    async fn list(
        &self,
        request: Request<AuditServiceListRequest>,
    ) -> Result<Response<AuditServiceListResponse>, Status> {
        let call = Call::of(&request)?;
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let rows = fields.page_size(request.page_size, 50, 200);
            let actor = fields.optional_id("actor_id", &request.actor_id);
            let subject = audit::wanted(&mut fields, "subject_id", request.subject_id);
            let action = audit::wanted(&mut fields, "action", request.action);
            fields.done()?;
            let db = self.0.db.reader();
            admin::administrator(db, &call).await?;
            let before = Some(request.before_seq).filter(|before| *before > 0);
            let filter = Filter { before, actor, subject, action };
            let (records, next_before_seq) = audit::page(db, &filter, rows).await?;
            Ok(AuditServiceListResponse { entries: records.into_iter().map(entry).collect(), next_before_seq })
        };
        answer(self.0.db.within(run).await)
    }

    async fn verify(
        &self,
        request: Request<AuditServiceVerifyRequest>,
    ) -> Result<Response<AuditServiceVerifyResponse>, Status> {
        let call = Call::of(&request)?;
        let run = async {
            let tx = self.0.db.snapshot().await?;
            admin::administrator(&tx, &call).await?;
            let verified = audit::verify(&tx).await?;
            Ok::<_, AuthError>(AuditServiceVerifyResponse {
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
