//! `file`: what is complete, and `thumbnail`: the smaller pictures of it.

use proto::file::v1::{File, FileMetadata, FileState, Thumbnail};
use sea_orm::{QueryOrder as _, QuerySelect as _, Set, entity::prelude::*};

use super::{timestamp, unsigned};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "file")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    pub(crate) room_id: Uuid,
    pub(crate) uploader_id: Uuid,
    pub(crate) name: String,
    /// The encoded `FileMetadata`.
    pub(crate) metadata: Vec<u8>,
    pub(crate) content_type: String,
    pub(crate) size: i64,
    pub(crate) sha256: Vec<u8>,
    pub(crate) created_at: i64,
    pub(crate) state: i32,
    pub(crate) failure: String,
    pub(crate) width: i32,
    pub(crate) height: i32,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

/// One smaller picture.
pub(crate) mod thumbnail {
    use sea_orm::entity::prelude::*;

    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "thumbnail")]
    pub(crate) struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) file_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub(crate) variant: String,
        pub(crate) width: i32,
        pub(crate) height: i32,
        pub(crate) content_type: String,
        pub(crate) size: i64,
        pub(crate) key: String,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub(crate) enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

impl Model {
    pub(crate) fn state(&self) -> FileState {
        FileState::try_from(self.state).unwrap_or(FileState::Failed)
    }

    /// Where the whole file is kept.
    pub(crate) fn blob_key(&self) -> String {
        format!("files/{}", self.id)
    }

    /// What the uploader said.
    pub(crate) fn metadata(&self) -> FileMetadata {
        prost::Message::decode(self.metadata.as_slice()).unwrap_or_default()
    }

    /// As the contracts have it, without a reference.
    pub(crate) fn to_proto(&self, thumbnails: &[thumbnail::Model]) -> File {
        let number = |pixels: i32| u32::try_from(pixels).unwrap_or(0);
        let picture = |row: &thumbnail::Model| Thumbnail {
            variant: row.variant.clone(),
            width: number(row.width),
            height: number(row.height),
            content_type: row.content_type.clone(),
            size: unsigned(row.size),
        };
        File {
            id: self.id.to_string(),
            room_id: self.room_id.to_string(),
            uploader_id: self.uploader_id.to_string(),
            name: self.name.clone(),
            content_type: self.content_type.clone(),
            size: unsigned(self.size),
            sha256: self.sha256.clone().into(),
            created_at: Some(timestamp(self.created_at)),
            state: self.state,
            failure: self.failure.clone(),
            width: number(self.width),
            height: number(self.height),
            thumbnails: thumbnails.iter().filter(|row| row.file_id == self.id).map(picture).collect(),
            reference: String::new(),
        }
    }
}

pub(crate) async fn find<C: ConnectionTrait>(db: &C, id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(db).await
}

/// The file, which nobody else changes before the transaction ends.
pub(crate) async fn lock<C: ConnectionTrait>(tx: &C, id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).lock_exclusive().one(tx).await
}

/// A page of a room's files, newest first (ids rise with time).
pub(crate) async fn of_room<C: ConnectionTrait>(
    db: &C,
    room_id: Uuid,
    before: Option<Uuid>,
    rows: u64,
) -> Result<Vec<Model>, DbErr> {
    let mut query = Entity::find().filter(Column::RoomId.eq(room_id));
    if let Some(before) = before {
        query = query.filter(Column::Id.lt(before));
    }
    query.order_by_desc(Column::Id).limit(rows).all(db).await
}

/// The smaller pictures of some files, smallest first.
pub(crate) async fn thumbnails<C: ConnectionTrait>(db: &C, files: &[Uuid]) -> Result<Vec<thumbnail::Model>, DbErr> {
    thumbnail::Entity::find()
        .filter(thumbnail::Column::FileId.is_in(files.iter().copied()))
        .order_by_asc(thumbnail::Column::Width)
        .all(db)
        .await
}

pub(crate) async fn insert<C: ConnectionTrait>(db: &C, file: Model) -> Result<(), DbErr> {
    Entity::insert(ActiveModel::from(file)).exec_without_returning(db).await?;
    Ok(())
}

/// Records that a file is ready, with what was found out about it.
pub(crate) async fn finish<C: ConnectionTrait>(
    db: &C,
    file: &Model,
    pictures: Vec<thumbnail::Model>,
) -> Result<(), DbErr> {
    let changed = ActiveModel {
        id: Set(file.id),
        state: Set(file.state),
        failure: Set(file.failure.clone()),
        content_type: Set(file.content_type.clone()),
        width: Set(file.width),
        height: Set(file.height),
        ..Default::default()
    };
    Entity::update(changed).exec(db).await?;
    if !pictures.is_empty() {
        let rows = pictures.into_iter().map(thumbnail::ActiveModel::from);
        thumbnail::Entity::insert_many(rows).exec_without_returning(db).await?;
    }
    Ok(())
}
