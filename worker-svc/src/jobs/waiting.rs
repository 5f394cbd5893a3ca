//! What waits for its time, as the contracts have it.

use proto::{timestamp, worker::v1::Job};
use sea_orm::DbErr;

use crate::{
    schedule::Schedule,
    store::{planned, put_off},
};

/// By their next time, at most so many.
pub(super) async fn list(schedule: &Schedule, size: u64) -> Result<Vec<Job>, DbErr> {
    let planned = planned::list(schedule.db.reader()).await?.into_iter().map(|row| Job {
        id: row.name.clone(),
        name: row.name,
        cron: row.cron,
        next_at: Some(timestamp(row.next_at)),
        last_at: row.last_at.map(timestamp),
        last_error: row.last_error,
        destination: String::new(),
    });
    let put_off = put_off::list(schedule.db.reader(), size).await?.into_iter().map(|row| Job {
        id: row.token.to_string(),
        name: row.kind,
        cron: String::new(),
        next_at: Some(timestamp(row.due_at)),
        last_at: None,
        last_error: row.error,
        destination: row.destination,
    });
    let mut jobs: Vec<Job> = planned.chain(put_off).collect();
    jobs.sort_by_key(|job| job.next_at.map(|at| (at.seconds, at.nanos)));
    jobs.truncate(usize::try_from(size).unwrap_or(usize::MAX));
    Ok(jobs)
}
