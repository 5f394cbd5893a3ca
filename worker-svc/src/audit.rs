//! `AuditService`, and how a call stands in the log.

use mesh::{
    audit::{self, Entry, Filter, Record},
    authn::{self, Origin},
    clock::Clock,
    db::{Db, micros},
    fields::Fields,
};
use proto::{
    auth::v1::AuditEntry,
    timestamp,
    worker::v1::{
        AuditServiceListRequest, AuditServiceListResponse, AuditServiceVerifyRequest, AuditServiceVerifyResponse,
        audit_service_server::AuditService,
    },
};
use sea_orm::DatabaseTransaction;
use tonic::{Extensions, Request, Response, Status, async_trait};
use uuid::Uuid;

use crate::{errors::WorkerError, jobs::answer};

/// Who changes something, and from where.
#[derive(Clone)]
pub(crate) struct Operator {
    pub(crate) id: Uuid,
    address: String,
}

impl Operator {
    /// Who calls.
    pub(crate) fn of(extensions: &Extensions) -> Result<Self, Status> {
        let address = extensions.get::<Origin>().map(Origin::place).unwrap_or_default();
        Ok(Self { id: authn::user(extensions)?.user_id, address })
    }

    /// What they did.
    pub(crate) fn did(&self, action: &'static str, subject: impl ToString) -> Entry {
        Entry::new(action, subject).by(self.id).from(&self.address)
    }
}

/// Writes an entry last in the transaction of its change, and commits both.
pub(crate) async fn commit(tx: DatabaseTransaction, entry: Entry, clock: &Clock) -> Result<(), sea_orm::DbErr> {
    audit::append(&tx, &[entry], clock.now()).await?;
    tx.commit().await
}

/// The handlers.
pub(crate) struct AuditRpc(pub(crate) Db);

#[async_trait]
impl AuditService for AuditRpc {
    async fn list(
        &self,
        request: Request<AuditServiceListRequest>,
    ) -> Result<Response<AuditServiceListResponse>, Status> {
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let rows = fields.page_size(request.page_size, 50, 200);
            let actor = fields.optional_id("actor_id", &request.actor_id);
            let subject = audit::wanted(&mut fields, "subject_id", request.subject_id);
            let action = audit::wanted(&mut fields, "action", request.action);
            fields.done()?;
            let before = Some(request.before_seq).filter(|before| *before > 0);
            let filter = Filter { before, actor, subject, action };
            let (records, next_before_seq) = audit::page(self.0.reader(), &filter, rows).await?;
            Ok(AuditServiceListResponse { entries: records.into_iter().map(entry).collect(), next_before_seq })
        };
        answer(self.0.within(run).await)
    }

    async fn verify(
        &self,
        _: Request<AuditServiceVerifyRequest>,
    ) -> Result<Response<AuditServiceVerifyResponse>, Status> {
        let run = async {
            let verified = audit::verify(&self.0.snapshot().await?).await?;
            Ok::<_, WorkerError>(AuditServiceVerifyResponse {
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
        at: Some(timestamp(micros(record.at))),
        actor_id: record.actor.map(|actor| actor.to_string()).unwrap_or_default(),
        action: record.action,
        subject_id: record.subject,
        details: record.details.into_iter().collect(),
        address: record.address,
        trace: record.trace,
        hash: record.hash.into(),
    }
}
