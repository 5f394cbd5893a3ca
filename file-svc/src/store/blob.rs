//! `blob`: bytes that files stand on, found by their hash. A row is locked whenever a file is put on it or taken off it, so
//! that nothing is deleted under a file.

use prost::Message as _;
use proto::file::internal::v1::ProcessedFile;
use sea_orm::{QuerySelect as _, Set, entity::prelude::*};

/// The worker has not placed it yet.
pub(crate) const PENDING: i32 = 0;
/// Placed and described.
pub(crate) const READY: i32 = 1;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "blob")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    /// Where it is kept; empty while it is not placed.
    pub(crate) key: String,
    /// SHA-256 of what was uploaded, or the id when no later file is to be put on it.
    pub(crate) sha256: Vec<u8>,
    /// Bytes that were uploaded.
    pub(crate) size: i64,
    pub(crate) state: i32,
    /// When the last file left it; 0 while there are files.
    pub(crate) released_at: i64,
    /// The encoded `ProcessedFile`.
    pub(crate) report: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// What the worker found out about it.
    pub(crate) fn report(&self) -> ProcessedFile {
        ProcessedFile::decode(self.report.as_slice()).unwrap_or_default()
    }

    /// Everything that is stored for it.
    pub(crate) fn keys(&self) -> Vec<String> {
        let pictures = self.report().thumbnails.into_iter().map(|picture| picture.key);
        std::iter::once(self.key.clone()).chain(pictures).filter(|key| !key.is_empty()).collect()
    }
}

/// The blob of some bytes, made when there is none, locked, and held by a file from now on.
pub(crate) async fn claim<C: ConnectionTrait>(tx: &C, sha256: &[u8], size: i64) -> Result<Model, DbErr> {
    let fresh = Model {
        id: mesh::ids::new_id(),
        key: String::new(),
        sha256: sha256.to_vec(),
        size,
        state: PENDING,
        released_at: 0,
        report: Vec::new(),
    };
    let once = [Column::Sha256, Column::Size];
    Entity::insert(ActiveModel::from(fresh)).on_conflict_do_nothing_on(once).exec_without_returning(tx).await?;
    let found = Entity::find().filter(Column::Sha256.eq(sha256.to_vec())).filter(Column::Size.eq(size));
    let found = found.lock_exclusive().one(tx).await?;
    // The sweep may have been between the two statements: it deletes only what nobody held for a day.
    let found = found.ok_or_else(|| DbErr::RecordNotFound("the blob was swept this moment; try again".into()))?;
    hold(tx, found).await
}

pub(crate) async fn find<C: ConnectionTrait>(db: &C, id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(db).await
}

/// The blob, locked.
pub(crate) async fn lock<C: ConnectionTrait>(tx: &C, id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).lock_exclusive().one(tx).await
}

/// A locked blob gets a file.
pub(crate) async fn hold<C: ConnectionTrait>(tx: &C, mut blob: Model) -> Result<Model, DbErr> {
    if blob.released_at != 0 {
        blob.released_at = 0;
        Entity::update(ActiveModel { id: Set(blob.id), released_at: Set(0), ..Default::default() }).exec(tx).await?;
    }
    Ok(blob)
}

/// A locked blob has lost its last file.
pub(crate) async fn released<C: ConnectionTrait>(tx: &C, id: Uuid, at: i64) -> Result<(), DbErr> {
    Entity::update(ActiveModel { id: Set(id), released_at: Set(at), ..Default::default() }).exec(tx).await?;
    Ok(())
}

/// A locked blob is placed and described.
pub(crate) async fn ready<C: ConnectionTrait>(
    tx: &C,
    id: Uuid,
    key: &str,
    report: &ProcessedFile,
) -> Result<(), DbErr> {
    let changed = ActiveModel {
        id: Set(id),
        key: Set(key.to_owned()),
        state: Set(READY),
        report: Set(report.encode_to_vec()),
        ..Default::default()
    };
    Entity::update(changed).exec(tx).await?;
    Ok(())
}

/// No later file is put on it.
pub(crate) async fn forget_hash<C: ConnectionTrait>(tx: &C, id: Uuid) -> Result<(), DbErr> {
    let changed = ActiveModel { id: Set(id), sha256: Set(id.as_bytes().to_vec()), ..Default::default() };
    Entity::update(changed).exec(tx).await?;
    Ok(())
}

/// Blobs without files since before a time.
pub(crate) async fn over<C: ConnectionTrait>(db: &C, before: i64, rows: u64) -> Result<Vec<Model>, DbErr> {
    let over = Entity::find().filter(Column::ReleasedAt.gt(0)).filter(Column::ReleasedAt.lt(before));
    over.limit(rows).all(db).await
}

pub(crate) async fn delete<C: ConnectionTrait>(tx: &C, id: Uuid) -> Result<(), DbErr> {
    Entity::delete_by_id(id).exec(tx).await?;
    Ok(())
}

/// Which of these keys blobs are kept under.
pub(crate) async fn kept<C: ConnectionTrait>(db: &C, keys: &[String]) -> Result<Vec<String>, DbErr> {
    let rows = Entity::find().filter(Column::Key.is_in(keys.iter().cloned())).all(db).await?;
    Ok(rows.into_iter().map(|row| row.key).collect())
}
