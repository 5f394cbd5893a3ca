//! `upload`: what is on its way, and `upload_part`: the pieces of it that are stored. Both halves of an upload are recorded
//! by name, so that a repetition is harmless.

use sea_orm::{QueryOrder as _, QuerySelect as _, Set, entity::prelude::*};

use super::{signed, unsigned};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "upload")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    pub(crate) user_id: Uuid,
    pub(crate) op_id: Uuid,
    pub(crate) room_id: Uuid,
    /// Bytes in all; -1 while unknown.
    pub(crate) size: i64,
    /// Bytes that are stored.
    pub(crate) offset: i64,
    /// SHA-256 once the bytes half is here; empty before.
    pub(crate) sha256: Vec<u8>,
    /// The encoded `FileMetadata` once the metadata half is here; empty before.
    pub(crate) metadata: Vec<u8>,
    pub(crate) created_at: i64,
    pub(crate) expires_at: i64,
    /// Bytes that count for the user meanwhile.
    pub(crate) charged: i64,
    /// The file was made. It may be gone again by now: an operation makes one file only.
    pub(crate) done: bool,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// One stored piece.
pub(crate) mod part {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "upload_part")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) upload_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) start: i64,
        pub(crate) size: i64,
        pub(crate) key: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

impl Model {
    /// Bytes in all, once known.
    pub(crate) fn total(&self) -> Option<u64> {
        (self.size >= 0).then(|| unsigned(self.size))
    }

    /// Bytes that are stored.
    pub(crate) fn stored(&self) -> u64 {
        unsigned(self.offset)
    }

    pub(crate) fn bytes_received(&self) -> bool {
        !self.sha256.is_empty()
    }

    pub(crate) fn metadata_received(&self) -> bool {
        !self.metadata.is_empty()
    }
}

pub(crate) async fn find<C: ConnectionTrait>(db: &C, id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(db).await
}

/// The upload, which nobody else changes before the transaction ends.
pub(crate) async fn lock<C: ConnectionTrait>(tx: &C, id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).lock_exclusive().one(tx).await
}

/// The upload of an operation, which nobody else changes before the transaction ends.
pub(crate) async fn lock_by_op<C: ConnectionTrait>(tx: &C, user_id: Uuid, op_id: Uuid) -> Result<Option<Model>, DbErr> {
    let of_op = Entity::find().filter(Column::UserId.eq(user_id)).filter(Column::OpId.eq(op_id));
    of_op.lock_exclusive().one(tx).await
}

pub(crate) async fn by_op<C: ConnectionTrait>(db: &C, user_id: Uuid, op_id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find().filter(Column::UserId.eq(user_id)).filter(Column::OpId.eq(op_id)).one(db).await
}

/// Writes a new upload, unless its operation has one already.
pub(crate) async fn insert_once<C: ConnectionTrait>(tx: &C, upload: Model) -> Result<(), DbErr> {
    let once = [Column::UserId, Column::OpId];
    Entity::insert(ActiveModel::from(upload)).on_conflict_do_nothing_on(once).exec_without_returning(tx).await?;
    Ok(())
}

/// Notes stored pieces and that the upload stands behind them.
pub(crate) async fn add_parts<C: ConnectionTrait>(
    db: &C,
    upload: &Model,
    parts: Vec<part::Model>,
) -> Result<(), DbErr> {
    let changed = ActiveModel {
        id: Set(upload.id),
        offset: Set(upload.offset),
        expires_at: Set(upload.expires_at),
        charged: Set(upload.charged),
        ..Default::default()
    };
    Entity::update(changed).exec(db).await?;
    part::Entity::insert_many(parts.into_iter().map(part::ActiveModel::from)).exec_without_returning(db).await?;
    Ok(())
}

/// Records that the file was made, and that its bytes count with it from now on.
pub(crate) async fn set_done<C: ConnectionTrait>(db: &C, id: Uuid) -> Result<(), DbErr> {
    let changed = ActiveModel { id: Set(id), done: Set(true), charged: Set(0), ..Default::default() };
    Entity::update(changed).exec(db).await?;
    Ok(())
}

/// How many bytes count meanwhile.
pub(crate) async fn set_charged<C: ConnectionTrait>(db: &C, id: Uuid, charged: i64) -> Result<(), DbErr> {
    Entity::update(ActiveModel { id: Set(id), charged: Set(charged), ..Default::default() }).exec(db).await?;
    Ok(())
}

/// Which of these keys are pieces of uploads.
pub(crate) async fn part_keys<C: ConnectionTrait>(db: &C, keys: &[String]) -> Result<Vec<String>, DbErr> {
    let rows = part::Entity::find().filter(part::Column::Key.is_in(keys.iter().cloned())).all(db).await?;
    Ok(rows.into_iter().map(|row| row.key).collect())
}

/// Which of these uploads are still open.
pub(crate) async fn open<C: ConnectionTrait>(db: &C, ids: &[Uuid]) -> Result<Vec<Uuid>, DbErr> {
    let rows = Entity::find().filter(Column::Id.is_in(ids.iter().copied())).filter(Column::Done.eq(false));
    Ok(rows.all(db).await?.into_iter().map(|row| row.id).collect())
}

/// Records the bytes half.
pub(crate) async fn set_bytes<C: ConnectionTrait>(db: &C, id: Uuid, size: u64, sha256: Vec<u8>) -> Result<(), DbErr> {
    let changed = ActiveModel { id: Set(id), size: Set(signed(size)), sha256: Set(sha256), ..Default::default() };
    Entity::update(changed).exec(db).await?;
    Ok(())
}

/// Records the metadata half.
pub(crate) async fn set_metadata<C: ConnectionTrait>(db: &C, id: Uuid, metadata: Vec<u8>) -> Result<(), DbErr> {
    let changed = ActiveModel { id: Set(id), metadata: Set(metadata), ..Default::default() };
    Entity::update(changed).exec(db).await?;
    Ok(())
}

/// Settles the size of an upload that was opened without one.
pub(crate) async fn set_size<C: ConnectionTrait>(db: &C, id: Uuid, size: u64) -> Result<(), DbErr> {
    Entity::update(ActiveModel { id: Set(id), size: Set(signed(size)), ..Default::default() }).exec(db).await?;
    Ok(())
}

/// The pieces of an upload, in order.
pub(crate) async fn parts<C: ConnectionTrait>(db: &C, id: Uuid) -> Result<Vec<part::Model>, DbErr> {
    part::Entity::find().filter(part::Column::UploadId.eq(id)).order_by_asc(part::Column::Start).all(db).await
}

/// Forgets the pieces of an upload.
pub(crate) async fn delete_parts<C: ConnectionTrait>(db: &C, id: Uuid) -> Result<(), DbErr> {
    part::Entity::delete_many().filter(part::Column::UploadId.eq(id)).exec(db).await?;
    Ok(())
}

/// Forgets an upload and its pieces.
pub(crate) async fn delete<C: ConnectionTrait>(db: &C, id: Uuid) -> Result<(), DbErr> {
    delete_parts(db, id).await?;
    Entity::delete_by_id(id).exec(db).await?;
    Ok(())
}

/// Uploads that were given up: they made no file and their time is over.
pub(crate) async fn expired<C: ConnectionTrait>(db: &C, now: i64, rows: u64) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(Column::ExpiresAt.lt(now)).filter(Column::Done.eq(false)).limit(rows).all(db).await
}
