//! `avatar`: which file is whose picture, as auth-svc has told.

use mesh::db::Insert;
use sea_orm::{DatabaseBackend, Statement, entity::prelude::*};

use super::signed;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "avatar")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) user_id: Uuid,
    /// Nothing for no picture.
    pub(crate) file_id: Option<Uuid>,
    /// How often the person has changed it.
    pub(crate) revision: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

static INSERT: Insert<3> = Insert::new(
    "avatar",
    &["user_id", "file_id", "revision"],
    "ON CONFLICT (user_id) DO UPDATE SET file_id = excluded.file_id, revision = excluded.revision \
     WHERE avatar.revision < excluded.revision",
);

/// Notes somebody's picture, unless a newer one is known.
pub(crate) fn save(backend: DatabaseBackend, user_id: Uuid, file_id: Option<Uuid>, revision: u64) -> Vec<Statement> {
    INSERT.rows([[user_id.into(), file_id.into(), signed(revision).into()]]).statements(backend)
}

/// Whether a file is somebody's picture.
pub(crate) async fn is_of<C: ConnectionTrait>(db: &C, user_id: Uuid, file_id: Uuid) -> Result<bool, DbErr> {
    let found = Entity::find_by_id(user_id).filter(Column::FileId.eq(file_id)).one(db).await?;
    Ok(found.is_some())
}
