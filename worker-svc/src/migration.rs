//! The tables of worker-svc's database.

use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, big_integer_null, binary_len, blob, integer, string, text, uuid, uuid_null},
};

/// Every migration, oldest first.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            mesh::bus::memory::migration(),
            mesh::inbox::migration(),
            Box::new(Schedule),
            Box::new(Webhooks),
            mesh::audit::migration(),
            Box::new(Previews),
            Box::new(Mentions),
        ]
    }
}

struct Schedule;

impl MigrationName for Schedule {
    fn name(&self) -> &'static str {
        "m0001_schedule"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Schedule {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let put_off = Table::create()
            .table("put_off")
            .col(uuid("token").primary_key())
            .col(string("kind"))
            .col(string("destination"))
            .col(text("envelope"))
            .col(big_integer("due_at"))
            .col(text("error"))
            .to_owned();
        manager.create_table(put_off).await?;
        let due = Index::create().name("put_off_due").table("put_off").col("due_at").to_owned();
        manager.create_index(due).await?;
        let planned = Table::create()
            .table("planned")
            .col(string("name").primary_key())
            .col(string("cron"))
            .col(big_integer("next_at"))
            .col(big_integer_null("last_at"))
            .col(text("last_error"))
            .to_owned();
        manager.create_table(planned).await
    }
}

struct Webhooks;

impl MigrationName for Webhooks {
    fn name(&self) -> &'static str {
        "m0002_webhooks"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Webhooks {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let webhooks = Table::create()
            .table("webhook")
            .col(uuid("id").primary_key())
            .col(text("url"))
            .col(uuid_null("room_id"))
            .col(string("events"))
            .col(blob("secret"))
            .col(string("created_by"))
            .col(big_integer("created_at"))
            .to_owned();
        manager.create_table(webhooks).await?;
        let deliveries = Table::create()
            .table("webhook_delivery")
            .col(uuid("id").primary_key())
            .col(uuid("webhook_id"))
            .col(uuid("message_id"))
            .col(string("event"))
            .col(big_integer("at"))
            .col(integer("status"))
            .col(text("error"))
            .col(big_integer("duration_ms"))
            .to_owned();
        manager.create_table(deliveries).await?;
        let mut log = Index::create();
        log.name("webhook_delivery_log").table("webhook_delivery").col("webhook_id").col("id");
        manager.create_index(log).await?;
        let mut old = Index::create();
        old.name("webhook_delivery_at").table("webhook_delivery").col("at");
        manager.create_index(old).await
    }
}

struct Previews;

impl MigrationName for Previews {
    fn name(&self) -> &'static str {
        "m0003_previews"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Previews {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let previews = Table::create()
            .table("link_preview")
            .col(binary_len("link", 32).primary_key())
            .col(blob("preview"))
            .col(big_integer("fetched_at"))
            .to_owned();
        manager.create_table(previews).await?;
        let old = Index::create().name("link_preview_at").table("link_preview").col("fetched_at").to_owned();
        manager.create_index(old).await
    }
}

struct Mentions;

impl MigrationName for Mentions {
    fn name(&self) -> &'static str {
        "m0004_mentions"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Mentions {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mentions = Table::create()
            .table("mention")
            .col(uuid("round"))
            .col(uuid("message_id"))
            .col(uuid("user_id"))
            .col(uuid("room_id"))
            .col(big_integer("seq"))
            .col(uuid("author_id"))
            .col(big_integer("due_at"))
            .primary_key(Index::create().col("round").col("message_id"))
            .to_owned();
        manager.create_table(mentions).await?;
        let rounds = Table::create()
            .table("mention_round")
            .col(uuid("user_id").primary_key())
            .col(uuid("round"))
            .col(big_integer("due_at"))
            .to_owned();
        manager.create_table(rounds).await
    }
}
