//! Calls about what is kept: where, by whom, how much.

use mesh::{authn::UserPrincipal, fields::Fields};
use proto::{
    chat::internal::v1::RoomAction,
    file::v1::{DeleteFileRequest, File, ListUsageRequest, ListUsageResponse, ShareFileRequest, Usage, UserUsage},
};
use uuid::Uuid;

use super::Shared;
use crate::{
    errors::FileError,
    files,
    life::{self, Share},
    quota,
    store::{self, usage},
};

impl Shared {
    pub(super) async fn share_file(&self, user: &UserPrincipal, request: &ShareFileRequest) -> Result<File, FileError> {
        let mut fields = Fields::default();
        let op_id = fields.id("op_id", &request.op_id);
        let file_id = fields.id("file_id", &request.file_id);
        let room_id = fields.id("room_id", &request.room_id);
        fields.done()?;
        self.readable(user, file_id).await?;
        self.check(user, room_id, RoomAction::Post, FileError::RoomNotFound).await?;
        let share = Share { user_id: user.user_id, op_id, file_id, room_id };
        let tx = self.db.begin().await?;
        let shared = life::share(&tx, &share, &self.limits, self.clock.now()).await?;
        tx.commit().await?;
        self.wake.now();
        Ok(self.signing().sign(files::view(self.db.reader(), &shared).await?))
    }

    pub(super) async fn delete_file(&self, user: &UserPrincipal, request: &DeleteFileRequest) -> Result<(), FileError> {
        let mut fields = Fields::default();
        let id = fields.id("file_id", &request.file_id);
        fields.done()?;
        let row = self.readable(user, id).await?;
        if row.uploader_id != user.user_id {
            self.check(user, row.room_id, RoomAction::DeleteOthers, FileError::FileNotFound).await?;
        }
        let tx = self.db.begin().await?;
        life::delete(&tx, id, user.user_id, self.clock.now()).await?;
        tx.commit().await?;
        self.wake.now();
        self.receiver.trash.wake();
        Ok(())
    }

    pub(super) async fn usage(&self, user: &UserPrincipal) -> Result<Usage, FileError> {
        quota::usage(self.db.reader(), user.user_id, self.limits.quotas).await
    }

    pub(super) async fn list_usage(
        &self,
        user: &UserPrincipal,
        request: &ListUsageRequest,
    ) -> Result<ListUsageResponse, FileError> {
        let mut fields = Fields::default();
        let rows = fields.page_size(request.page_size, 50, 200);
        let after = if request.page_token.is_empty() { None } else { position(&request.page_token) };
        if after.is_none() && !request.page_token.is_empty() {
            fields.wrong("page_token", "is not one that this call gave");
        }
        fields.done()?;
        let mut found = usage::most(self.db.reader(), after, rows + 1).await?;
        let more = mesh::db::cut_page(&mut found, rows);
        let next = found.last().filter(|_| more).map(|row| format!("{}.{}", row.bytes, row.owner));
        let shown =
            |row: &usage::Model| UserUsage { user_id: row.owner.to_string(), bytes: store::unsigned(row.bytes) };
        Ok(ListUsageResponse {
            users: found.iter().map(shown).collect(),
            next_page_token: next.unwrap_or_default(),
            usage: Some(self.usage(user).await?),
        })
    }
}

/// Where a page of usage begins.
fn position(token: &str) -> Option<(i64, Uuid)> {
    let (bytes, owner) = token.split_once('.')?;
    Some((bytes.parse().ok()?, Uuid::try_parse(owner).ok()?))
}
