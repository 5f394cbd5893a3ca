//! Quotas: how much one user, and all together, may keep here.

use proto::file::v1::Usage;
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use crate::{
    errors::FileError,
    store::{self, usage},
};

/// Bytes that may be kept; 0 is no limit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quotas {
    pub(crate) user: u64,
    pub(crate) workspace: u64,
}

/// Counts bytes for a user, in the transaction that keeps them.
pub(crate) async fn charge<C: ConnectionTrait>(
    tx: &C,
    user: Uuid,
    bytes: u64,
    quotas: Quotas,
) -> Result<(), FileError> {
    if bytes == 0 {
        return Ok(());
    }
    let bytes = store::signed(bytes);
    if !usage::add(tx, user, bytes, store::signed(quotas.user)).await? {
        return Err(FileError::UserQuotaExceeded { limit: quotas.user });
    }
    if !usage::add(tx, Uuid::nil(), bytes, store::signed(quotas.workspace)).await? {
        return Err(FileError::WorkspaceQuotaExceeded { limit: quotas.workspace });
    }
    Ok(())
}

/// Counts bytes no longer.
pub(crate) async fn refund<C: ConnectionTrait>(tx: &C, user: Uuid, bytes: i64) -> Result<(), FileError> {
    if bytes != 0 {
        usage::add(tx, user, -bytes, 0).await?;
        usage::add(tx, Uuid::nil(), -bytes, 0).await?;
    }
    Ok(())
}

/// What one user and all together keep.
pub(crate) async fn usage<C: ConnectionTrait>(db: &C, user: Uuid, quotas: Quotas) -> Result<Usage, FileError> {
    Ok(Usage {
        user_bytes: store::unsigned(usage::of(db, user).await?),
        user_limit: quotas.user,
        workspace_bytes: store::unsigned(usage::of(db, Uuid::nil()).await?),
        workspace_limit: quotas.workspace,
    })
}
