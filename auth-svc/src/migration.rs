//! The tables of auth-svc's database.

use sea_orm_migration::{prelude::*, schema::*};

/// Every migration, oldest first.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            mesh::outbox::migration(),
            Box::new(Auth),
            mesh::audit::migration(),
            Box::new(Access),
            mesh::outbox::lease_migration(),
            Box::new(Avatars),
            Box::new(Mentions),
            mesh::inbox::migration(),
        ]
    }
}

struct Auth;

impl MigrationName for Auth {
    fn name(&self) -> &'static str {
        "m0001_auth"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Auth {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let by_bytes = |column| mesh::db::by_bytes(column, manager.get_database_backend());
        let account = Table::create()
            .table("account")
            .col(uuid("id").primary_key())
            .col(by_bytes(string("username").unique_key().take()))
            .col(string("display_name"))
            .col(by_bytes(string("folded_name")))
            .col(string("password"))
            .col(integer("role"))
            .col(big_integer("created_at"))
            .col(boolean("bot"))
            .col(boolean("disabled"))
            .to_owned();
        manager.create_table(account).await?;
        let by_name = Index::create().name("account_folded_name").table("account").col("folded_name").to_owned();
        manager.create_index(by_name).await?;
        let session = Table::create()
            .table("session")
            .col(uuid("id").primary_key())
            .col(uuid("user_id"))
            .col(string("device"))
            .col(blob("key"))
            .col(blob("current_hash"))
            .col(blob("previous_hash"))
            .col(big_integer("created_at"))
            .col(big_integer("rotated_at"))
            .col(big_integer("ended_at"))
            .to_owned();
        manager.create_table(session).await?;
        let by_user = Index::create().name("session_user").table("session").col("user_id").to_owned();
        manager.create_index(by_user).await?;
        let secret = Table::create().table("secret").col(string("name").primary_key()).col(blob("value")).to_owned();
        manager.create_table(secret).await
    }
}

/// How often somebody has changed their picture.
struct Avatars;

impl MigrationName for Avatars {
    fn name(&self) -> &'static str {
        "m0003_avatars"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Avatars {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut column = big_integer("avatar_revision").default(0).take();
        manager.alter_table(Table::alter().table("account").add_column(&mut column).to_owned()).await
    }
}

/// Who wants mail when they are mentioned.
struct Mentions;

impl MigrationName for Mentions {
    fn name(&self) -> &'static str {
        "m0004_mention_mail"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Mentions {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut column = boolean("mention_mail").default(true).take();
        manager.alter_table(Table::alter().table("account").add_column(&mut column).to_owned()).await
    }
}

/// Profiles, places of sessions, tokens of programs, invitations, resets of passwords.
struct Access;

impl MigrationName for Access {
    fn name(&self) -> &'static str {
        "m0002_access"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Access {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in ["email", "title", "about", "avatar_file_id"] {
            let mut column = string(column).default("").take();
            manager.alter_table(Table::alter().table("account").add_column(&mut column).to_owned()).await?;
        }
        for column in ["epoch", "epoch_at"] {
            let mut column = big_integer(column).default(0).take();
            manager.alter_table(Table::alter().table("account").add_column(&mut column).to_owned()).await?;
        }
        let mut address = string("address").default("").take();
        manager.alter_table(Table::alter().table("session").add_column(&mut address).to_owned()).await?;
        for (table, column) in [("account", "email"), ("account", "epoch_at"), ("session", "ended_at")] {
            let name = format!("{table}_{column}");
            manager.create_index(Index::create().name(name).table(table).col(column).to_owned()).await?;
        }
        let tokens = Table::create()
            .table("access_token")
            .col(uuid("id").primary_key())
            .col(uuid("user_id"))
            .col(string("name"))
            .col(string("scopes"))
            .col(blob("hash"))
            .col(big_integer("created_at"))
            .col(big_integer("expires_at"))
            .col(big_integer("last_used_at"))
            .col(string("last_address"))
            .col(big_integer("revoked_at"))
            .to_owned();
        manager.create_table(tokens).await?;
        for column in ["user_id", "revoked_at"] {
            let name = format!("access_token_{column}");
            manager.create_index(Index::create().name(name).table("access_token").col(column).to_owned()).await?;
        }
        let invites = Table::create()
            .table("invite")
            .col(uuid("id").primary_key())
            .col(blob("hash"))
            .col(uuid("created_by"))
            .col(big_integer("created_at"))
            .col(big_integer("expires_at"))
            .col(big_integer("max_uses"))
            .col(big_integer("uses"))
            .col(integer("role"))
            .col(text("rooms"))
            .col(string("note"))
            .col(big_integer("revoked_at"))
            .to_owned();
        manager.create_table(invites).await?;
        let uses = Table::create()
            .table("invite_use")
            .col(uuid("invite_id"))
            .col(uuid("user_id"))
            .col(big_integer("used_at"))
            .primary_key(Index::create().col("invite_id").col("user_id"))
            .to_owned();
        manager.create_table(uses).await?;
        let resets = Table::create()
            .table("password_reset")
            .col(uuid("id").primary_key())
            .col(uuid("user_id"))
            .col(blob("hash"))
            .col(big_integer("expires_at"))
            .to_owned();
        manager.create_table(resets).await?;
        let by_user = Index::create().name("password_reset_user").table("password_reset").col("user_id").to_owned();
        manager.create_index(by_user).await
    }
}
