//! `account`: who there is.

use proto::auth::v1::{User, WorkspaceRole};
use sea_orm::{Condition, PaginatorTrait as _, QueryOrder as _, QuerySelect as _, entity::prelude::*};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "account")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: Uuid,
    pub(crate) username: String,
    pub(crate) display_name: String,
    /// The display name as it is searched.
    pub(crate) folded_name: String,
    pub(crate) password: String,
    pub(crate) role: i32,
    pub(crate) created_at: i64,
    pub(crate) bot: bool,
    pub(crate) disabled: bool,
    /// Where mail goes; may be empty.
    pub(crate) email: String,
    pub(crate) title: String,
    pub(crate) about: String,
    pub(crate) avatar_file_id: String,
    /// How often it was changed.
    pub(crate) avatar_revision: i64,
    /// How often its rights changed: access tokens of a lower epoch do not count.
    pub(crate) epoch: i64,
    /// When they last did.
    pub(crate) epoch_at: i64,
    /// Mail is sent when they are mentioned while they are away.
    pub(crate) mention_mail: bool,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// As the contracts have it.
    pub(crate) fn to_proto(&self) -> User {
        User {
            id: self.id.to_string(),
            username: self.username.clone(),
            display_name: self.display_name.clone(),
            role: self.role,
            created_at: Some(super::timestamp(self.created_at)),
            bot: self.bot,
            disabled: self.disabled,
            title: self.title.clone(),
            about: self.about.clone(),
            avatar_file_id: self.avatar_file_id.clone(),
        }
    }

    /// The role.
    pub(crate) fn role(&self) -> WorkspaceRole {
        WorkspaceRole::try_from(self.role).unwrap_or(WorkspaceRole::Member)
    }

    /// The role as tokens carry it.
    pub(crate) fn role_name(&self) -> &'static str {
        match self.role() {
            WorkspaceRole::Owner => "owner",
            WorkspaceRole::Admin => "admin",
            WorkspaceRole::Guest => "guest",
            _ => "member",
        }
    }
}

/// How many accounts there are.
pub(crate) async fn count<C: ConnectionTrait>(db: &C) -> Result<u64, DbErr> {
    Entity::find().count(db).await
}

pub(crate) async fn find<C: ConnectionTrait>(db: &C, id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(db).await
}

pub(crate) async fn some<C: ConnectionTrait>(db: &C, ids: &[Uuid]) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(Column::Id.is_in(ids.iter().copied())).all(db).await
}

pub(crate) async fn by_usernames<C: ConnectionTrait>(db: &C, usernames: &[String]) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(Column::Username.is_in(usernames)).all(db).await
}

pub(crate) async fn by_username<C: ConnectionTrait>(db: &C, username: &str) -> Result<Option<Model>, DbErr> {
    Entity::find().filter(Column::Username.eq(username)).one(db).await
}

/// Accounts that have set this address, a few at most.
pub(crate) async fn by_email<C: ConnectionTrait>(db: &C, email: &str, most: u64) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(Column::Email.eq(email)).order_by_asc(Column::Id).limit(most).all(db).await
}

/// These accounts and every owner who can sign in, none of which anybody else changes before the transaction ends.
pub(crate) async fn lock_with_owners<C: ConnectionTrait>(tx: &C, ids: &[Uuid]) -> Result<Vec<Model>, DbErr> {
    let owners = Condition::all().add(Column::Role.eq(i32::from(WorkspaceRole::Owner))).add(Column::Disabled.eq(false));
    Entity::find()
        .filter(Condition::any().add(Column::Id.is_in(ids.iter().copied())).add(owners))
        // Always in this order, so that nobody waits for somebody who waits for them.
        .order_by_asc(Column::Id)
        .lock_exclusive()
        .all(tx)
        .await
}

/// The account, which nobody else changes before the transaction ends.
pub(crate) async fn lock<C: ConnectionTrait>(tx: &C, id: Uuid) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).lock_exclusive().one(tx).await
}

/// Writes an account that was changed.
pub(crate) async fn update<C: ConnectionTrait>(db: &C, account: &Model) -> Result<(), DbErr> {
    Entity::update(ActiveModel::from(account.clone()).reset_all()).exec(db).await?;
    Ok(())
}

/// Accounts whose rights changed since then.
pub(crate) async fn changed_since<C: ConnectionTrait>(db: &C, since: i64) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(Column::EpochAt.gt(since)).all(db).await
}

/// A page of bots, by username.
pub(crate) async fn bots<C: ConnectionTrait>(db: &C, after: &str, rows: u64) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::Bot.eq(true))
        .filter(Column::Username.gt(after))
        .order_by_asc(Column::Username)
        .limit(rows)
        .all(db)
        .await
}

/// A page of accounts whose username or display name begins with a prefix, by username.
pub(crate) async fn search<C: ConnectionTrait>(
    db: &C,
    prefix: &str,
    after: &str,
    rows: u64,
) -> Result<Vec<Model>, DbErr> {
    let begins = Condition::any().add(begins(Column::Username, prefix)).add(begins(Column::FoldedName, prefix));
    Entity::find()
        .filter(begins)
        .filter(Column::Username.gt(after))
        .order_by_asc(Column::Username)
        .limit(rows)
        .all(db)
        .await
}

/// A range instead of LIKE: no wildcard in what somebody typed, and an index can serve it.
fn begins(column: Column, prefix: &str) -> Condition {
    Condition::all().add(column.gte(prefix)).add(column.lt(format!("{prefix}\u{10ffff}")))
}

pub(crate) async fn insert<C: ConnectionTrait>(db: &C, account: Model) -> Result<(), DbErr> {
    Entity::insert(ActiveModel::from(account)).exec_without_returning(db).await?;
    Ok(())
}
