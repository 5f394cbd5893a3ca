//! The tables of file-svc's database.

mod life;

use sea_orm_migration::{prelude::*, schema::*};

/// Every migration, oldest first.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            mesh::outbox::migration(),
            Box::new(Files),
            Box::new(life::Life),
            mesh::outbox::lease_migration(),
            Box::new(Avatars),
        ]
    }
}

struct Files;

impl MigrationName for Files {
    fn name(&self) -> &'static str {
        "m0001_files"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Files {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in tables() {
            manager.create_table(table).await?;
        }
        let once = Index::create().name("upload_once").table("upload").col("user_id").col("op_id").unique().to_owned();
        manager.create_index(once).await?;
        let ends = Index::create().name("upload_expires_at").table("upload").col("expires_at").to_owned();
        manager.create_index(ends).await?;
        let by_room = Index::create().name("file_room").table("file").col("room_id").col("id").to_owned();
        manager.create_index(by_room).await
    }
}

/// Pictures of people.
struct Avatars;

impl MigrationName for Avatars {
    fn name(&self) -> &'static str {
        "m0003_avatars"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Avatars {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let avatars = Table::create()
            .table("avatar")
            .col(uuid("user_id").primary_key())
            .col(uuid_null("file_id"))
            .col(big_integer("revision"))
            .to_owned();
        manager.create_table(avatars).await
    }
}

fn tables() -> Vec<TableCreateStatement> {
    vec![
        Table::create()
            .table("upload")
            .col(uuid("id").primary_key())
            .col(uuid("user_id"))
            .col(uuid("op_id"))
            .col(uuid("room_id"))
            .col(big_integer("size"))
            .col(big_integer("offset"))
            .col(blob("sha256"))
            .col(blob("metadata"))
            .col(big_integer("created_at"))
            .col(big_integer("expires_at"))
            .to_owned(),
        Table::create()
            .table("upload_part")
            .col(uuid("upload_id"))
            .col(big_integer("start"))
            .col(big_integer("size"))
            .col(string("key"))
            .primary_key(Index::create().col("upload_id").col("start"))
            .to_owned(),
        Table::create()
            .table("file")
            .col(uuid("id").primary_key())
            .col(uuid("room_id"))
            .col(uuid("uploader_id"))
            .col(string("name"))
            .col(blob("metadata"))
            .col(string("content_type"))
            .col(big_integer("size"))
            .col(blob("sha256"))
            .col(big_integer("created_at"))
            .col(integer("state"))
            .col(text("failure"))
            .col(integer("width"))
            .col(integer("height"))
            .to_owned(),
        Table::create()
            .table("thumbnail")
            .col(uuid("file_id"))
            .col(string("variant"))
            .col(integer("width"))
            .col(integer("height"))
            .col(string("content_type"))
            .col(big_integer("size"))
            .col(string("key"))
            .primary_key(Index::create().col("file_id").col("variant"))
            .to_owned(),
    ]
}
