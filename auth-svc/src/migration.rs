//! The tables of auth-svc's database.

use sea_orm_migration::{prelude::*, schema::*};

/// Every migration, oldest first.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![mesh::outbox::migration(), Box::new(Auth), mesh::outbox::lease_migration()]
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
