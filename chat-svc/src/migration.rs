//! The tables of chat-svc's database.

mod keeping;

use mesh::db::by_bytes;
use sea_orm_migration::{prelude::*, schema::*, sea_orm::DbBackend};

/// Every migration, oldest first.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            mesh::outbox::migration(),
            mesh::inbox::migration(),
            Box::new(Chat),
            Box::new(Access),
            mesh::audit::migration(),
            mesh::outbox::lease_migration(),
            Box::new(Scheduled),
            Box::new(keeping::Keeping),
            Box::new(IncomingWebhooks),
            Box::new(Previews),
            Box::new(Appended),
        ]
    }
}

struct Chat;

impl MigrationName for Chat {
    fn name(&self) -> &'static str {
        "m0001_chat"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Chat {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for mut table in tables(manager.get_database_backend()) {
            // Rows live in the tree of their key: one page is written for a row instead of two.
            if manager.get_database_backend() == DbBackend::Sqlite {
                table.extra("WITHOUT ROWID");
            }
            manager.create_table(table).await?;
        }
        let by_user = Index::create().name("member_user").table("member").col("user_id").to_owned();
        manager.create_index(by_user).await?;
        let by_name = Index::create().name("room_sort_name").table("room").col("sort_name").to_owned();
        manager.create_index(by_name).await
    }
}

struct Access;

impl MigrationName for Access {
    fn name(&self) -> &'static str {
        "m0002_access"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Access {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in ["permissions", "archived_at"] {
            let column = big_integer(column).default(0).take();
            manager.alter_table(Table::alter().table("room").add_column(column).to_owned()).await?;
        }
        let mut shared = Table::create()
            .table("shared_file")
            .col(uuid("room_id"))
            .col(uuid("file_id"))
            .col(big_integer("seq"))
            .primary_key(Index::create().col("room_id").col("file_id"))
            .to_owned();
        if manager.get_database_backend() == DbBackend::Sqlite {
            shared.extra("WITHOUT ROWID");
        }
        manager.create_table(shared).await
    }
}

struct Scheduled;

impl MigrationName for Scheduled {
    fn name(&self) -> &'static str {
        "m0002_scheduled_message"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Scheduled {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table("scheduled_message")
            .col(uuid("user_id"))
            .col(uuid("op_id"))
            .col(string("rank"))
            .col(blob("request"))
            .col(big_integer("send_at"))
            .col(text("error"))
            .primary_key(Index::create().col("user_id").col("op_id"))
            .to_owned();
        manager.create_table(table).await?;
        let due = Index::create().name("scheduled_message_due").table("scheduled_message").col("send_at").to_owned();
        manager.create_index(due).await
    }
}

struct IncomingWebhooks;

impl MigrationName for IncomingWebhooks {
    fn name(&self) -> &'static str {
        "m0003_incoming_webhook"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for IncomingWebhooks {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table("incoming_webhook")
            .col(uuid("id").primary_key())
            .col(uuid("room_id"))
            .col(string("name"))
            .col(blob("hash"))
            .col(uuid("created_by"))
            .col(big_integer("created_at"))
            .to_owned();
        manager.create_table(table).await?;
        let mut of_room = Index::create();
        of_room.name("incoming_webhook_room").table("incoming_webhook").col("room_id").col("id");
        manager.create_index(of_room).await
    }
}

/// Previews of links.
struct Previews;

impl MigrationName for Previews {
    fn name(&self) -> &'static str {
        "m0003_previews"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Previews {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table("message_preview")
            .col(uuid("message_id").primary_key())
            .col(big_integer("content_seq"))
            .col(big_integer("seq"))
            .col(boolean("removed"))
            .to_owned();
        manager.create_table(table).await
    }
}

/// The view by which SQLite takes a small commit with one statement.
struct Appended;

impl MigrationName for Appended {
    fn name(&self) -> &'static str {
        "m0004_appended"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Appended {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() == DbBackend::Sqlite {
            for statement in crate::store::APPENDED.create() {
                manager.get_connection().execute_unprepared(&statement).await?;
            }
        }
        Ok(())
    }
}

fn tables(backend: DbBackend) -> Vec<TableCreateStatement> {
    vec![
        Table::create().table("meta").col(string("name").primary_key()).col(string("value")).to_owned(),
        Table::create()
            .table("feed")
            .col(uuid("id").primary_key())
            .col(big_integer("head"))
            .col(big_integer("ordinal"))
            .col(big_integer("changed"))
            .to_owned(),
        Table::create()
            .table("event")
            .col(uuid("feed_id"))
            .col(big_integer("seq"))
            .col(blob("bytes"))
            .col(blob("hash"))
            .col(uuid_null("message_id"))
            .primary_key(Index::create().col("feed_id").col("seq"))
            .to_owned(),
        Table::create()
            .table("room")
            .col(uuid("id").primary_key())
            .col(string("name"))
            .col(by_bytes(string("sort_name"), backend))
            .col(integer("kind"))
            .col(text("topic"))
            .col(integer("history"))
            .col(uuid("created_by"))
            .col(big_integer("created_at"))
            .col(integer("member_count"))
            .to_owned(),
        Table::create()
            .table("member")
            .col(uuid("room_id"))
            .col(uuid("user_id"))
            .col(integer("role"))
            .col(big_integer("joined_at"))
            .col(big_integer("joined_seq"))
            .col(big_integer("first_visible_seq"))
            .primary_key(Index::create().col("room_id").col("user_id"))
            .to_owned(),
        Table::create()
            .table("message")
            .col(uuid("id").primary_key())
            .col(uuid("room_id"))
            .col(big_integer("seq"))
            .col(big_integer("ordinal"))
            .col(uuid("author_id"))
            .col(big_integer("created_at"))
            .col(big_integer("current_seq"))
            .col(big_integer("deleted_at"))
            .to_owned(),
        Table::create()
            .table("message_edit")
            .col(uuid("message_id"))
            .col(big_integer("seq"))
            .primary_key(Index::create().col("message_id").col("seq"))
            .to_owned(),
        Table::create()
            .table("op")
            .col(uuid("op_id"))
            .col(uuid("user_id"))
            .col(blob("hash"))
            .col(blob_null("response"))
            .col(uuid_null("message_id"))
            .col(big_integer_null("seq"))
            // Ids made by time come one after the other, so that new rows share pages whoever sends.
            .primary_key(Index::create().col("op_id").col("user_id"))
            .to_owned(),
        Table::create()
            .table("read_marker")
            .col(uuid("user_id"))
            .col(uuid("room_id"))
            .col(big_integer("seq"))
            .col(big_integer("ordinal"))
            .primary_key(Index::create().col("user_id").col("room_id"))
            .to_owned(),
        Table::create()
            .table("room_file")
            .col(uuid("room_id"))
            .col(uuid("file_id"))
            .col(blob("file"))
            .primary_key(Index::create().col("room_id").col("file_id"))
            .to_owned(),
    ]
}
