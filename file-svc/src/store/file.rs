//! `file`: what is complete and belongs to a room, and `thumbnail`: the smaller pictures of it.

use std::collections::HashMap;

use proto::file::{
    internal::v1::{ProcessedFile, ProcessedThumbnail},
    v1::{File, FileMetadata, FileState, Thumbnail},
};
use sea_orm::{
    PaginatorTrait as _, QueryOrder as _, QuerySelect as _, Set,
    entity::prelude::*,
    sea_query::{Expr, ExprTrait as _, LikeExpr},
};

use super::{signed, timestamp, unsigned};

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
    /// What it stands on; nothing once it failed.
    pub(crate) blob_id: Option<Uuid>,
    /// Bytes that count for its uploader.
    pub(crate) charged: i64,
    /// In small letters, what it is found by.
    pub(crate) search: String,
    pub(crate) preview: i32,
    pub(crate) preview_failure: String,
    pub(crate) scan: i32,
    pub(crate) duration_ms: i64,
    /// What its bytes say of it, as a JSON object.
    pub(crate) found: String,
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

    /// Where its own job puts the whole file. Where it is served from is what its blob says.
    pub(crate) fn own_key(&self) -> String {
        format!("files/{}", self.id)
    }

    /// Where its own job puts smaller pictures: this, then their variant.
    pub(crate) fn own_thumbnails(&self) -> String {
        format!("thumbnails/{}/", self.id)
    }

    /// What the uploader said.
    pub(crate) fn metadata(&self) -> FileMetadata {
        prost::Message::decode(self.metadata.as_slice()).unwrap_or_default()
    }

    /// What its bytes say.
    pub(crate) fn found(&self) -> HashMap<String, String> {
        serde_json::from_str(&self.found).unwrap_or_default()
    }

    /// What was found out about its bytes becomes known of the file, and the smaller pictures that it gets are returned.
    pub(crate) fn describe(&mut self, report: &ProcessedFile) -> Vec<thumbnail::Model> {
        let pixels = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        self.state = FileState::Ready.into();
        if !report.content_type.is_empty() {
            self.content_type.clone_from(&report.content_type);
        }
        self.width = pixels(report.width);
        self.height = pixels(report.height);
        self.preview = report.preview;
        self.preview_failure.clone_from(&report.preview_failure);
        self.duration_ms = signed(report.duration_ms);
        self.found = serde_json::to_string(&report.found).unwrap_or_default();
        self.search = search_text(&self.metadata(), &report.found);
        if !report.stored_sha256.is_empty() {
            self.size = signed(report.stored_size);
            self.sha256 = report.stored_sha256.to_vec();
        }
        let picture = |made: &ProcessedThumbnail| thumbnail::Model {
            file_id: self.id,
            variant: made.variant.clone(),
            width: pixels(made.width),
            height: pixels(made.height),
            content_type: made.content_type.clone(),
            size: signed(made.size),
            key: made.key.clone(),
        };
        report.thumbnails.iter().map(picture).collect()
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
            preview: self.preview,
            preview_failure: self.preview_failure.clone(),
            scan: self.scan,
            duration_ms: unsigned(self.duration_ms),
            attributes: self.metadata().attributes,
            found: self.found(),
        }
    }
}

/// What a file is found by: its name, and what is said of it.
pub(crate) fn search_text(metadata: &FileMetadata, found: &HashMap<String, String>) -> String {
    let values = metadata.attributes.values().chain(found.values());
    let words: Vec<&str> = std::iter::once(&metadata.name).chain(values).map(String::as_str).collect();
    words.join("\n").to_lowercase()
}

/// Which files of a room are looked for.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    /// Older than this one.
    pub(crate) before: Option<Uuid>,
    /// Words that must all be there, in small letters.
    pub(crate) words: Vec<String>,
    /// A type, or `image/*`.
    pub(crate) content_type: String,
    pub(crate) uploader_id: Option<Uuid>,
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
    wanted: &Wanted,
    rows: u64,
) -> Result<Vec<Model>, DbErr> {
    let mut query = Entity::find().filter(Column::RoomId.eq(room_id));
    if let Some(before) = wanted.before {
        query = query.filter(Column::Id.lt(before));
    }
    for word in &wanted.words {
        query = query.filter(Expr::col(Column::Search).like(like(&format!("%{}%", escaped(word)))));
    }
    if let Some(kind) = wanted.content_type.strip_suffix('*') {
        query = query.filter(Expr::col(Column::ContentType).like(like(&format!("{}%", escaped(kind)))));
    } else if !wanted.content_type.is_empty() {
        query = query.filter(Column::ContentType.eq(&wanted.content_type));
    }
    if let Some(uploader) = wanted.uploader_id {
        query = query.filter(Column::UploaderId.eq(uploader));
    }
    query.order_by_desc(Column::Id).limit(rows).all(db).await
}

fn like(pattern: &str) -> LikeExpr {
    LikeExpr::new(pattern).escape('!')
}

/// A text in which nothing means more than itself in a pattern.
fn escaped(text: &str) -> String {
    text.replace('!', "!!").replace('%', "!%").replace('_', "!_")
}

/// The smaller pictures of some files, smallest first.
pub(crate) async fn thumbnails<C: ConnectionTrait>(db: &C, files: &[Uuid]) -> Result<Vec<thumbnail::Model>, DbErr> {
    thumbnail::Entity::find()
        .filter(thumbnail::Column::FileId.is_in(files.iter().copied()))
        .order_by_asc(thumbnail::Column::Width)
        .all(db)
        .await
}

pub(crate) async fn insert<C: ConnectionTrait>(
    db: &C,
    file: Model,
    pictures: Vec<thumbnail::Model>,
) -> Result<(), DbErr> {
    Entity::insert(ActiveModel::from(file)).exec_without_returning(db).await?;
    add_thumbnails(db, pictures).await
}

/// Files on a blob that the worker still has to check, which nobody else changes before the transaction ends.
pub(crate) async fn lock_waiting<C: ConnectionTrait>(tx: &C, blob_id: Uuid) -> Result<Vec<Model>, DbErr> {
    let waiting = Entity::find()
        .filter(Column::BlobId.eq(blob_id))
        .filter(Column::State.eq(i32::from(FileState::Processing)))
        .order_by_asc(Column::Id);
    waiting.lock_exclusive().all(tx).await
}

/// How many files stand on a blob.
pub(crate) async fn on_blob<C: ConnectionTrait>(db: &C, blob_id: Uuid) -> Result<u64, DbErr> {
    Entity::find().filter(Column::BlobId.eq(blob_id)).count(db).await
}

/// Records what became of a file, with what was found out about it.
pub(crate) async fn finish<C: ConnectionTrait>(
    db: &C,
    file: &Model,
    pictures: Vec<thumbnail::Model>,
) -> Result<(), DbErr> {
    let file = file.clone();
    let changed = ActiveModel {
        id: Set(file.id),
        state: Set(file.state),
        failure: Set(file.failure),
        content_type: Set(file.content_type),
        size: Set(file.size),
        sha256: Set(file.sha256),
        width: Set(file.width),
        height: Set(file.height),
        blob_id: Set(file.blob_id),
        charged: Set(file.charged),
        search: Set(file.search),
        preview: Set(file.preview),
        preview_failure: Set(file.preview_failure),
        scan: Set(file.scan),
        duration_ms: Set(file.duration_ms),
        found: Set(file.found),
        ..Default::default()
    };
    Entity::update(changed).exec(db).await?;
    add_thumbnails(db, pictures).await
}

async fn add_thumbnails<C: ConnectionTrait>(db: &C, pictures: Vec<thumbnail::Model>) -> Result<(), DbErr> {
    if !pictures.is_empty() {
        let rows = pictures.into_iter().map(thumbnail::ActiveModel::from);
        thumbnail::Entity::insert_many(rows).exec_without_returning(db).await?;
    }
    Ok(())
}

/// Forgets a file and its smaller pictures.
pub(crate) async fn delete<C: ConnectionTrait>(tx: &C, id: Uuid) -> Result<(), DbErr> {
    thumbnail::Entity::delete_many().filter(thumbnail::Column::FileId.eq(id)).exec(tx).await?;
    Entity::delete_by_id(id).exec(tx).await?;
    Ok(())
}

/// Which of these files the worker still has to check.
pub(crate) async fn waiting<C: ConnectionTrait>(db: &C, ids: &[Uuid]) -> Result<Vec<Uuid>, DbErr> {
    let rows = Entity::find()
        .filter(Column::Id.is_in(ids.iter().copied()))
        .filter(Column::State.eq(i32::from(FileState::Processing)))
        .all(db)
        .await?;
    Ok(rows.into_iter().map(|row| row.id).collect())
}
