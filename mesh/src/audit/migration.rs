//! The tables of the log.

use sea_orm::{ConnectionTrait as _, DbErr};
use sea_orm_migration::{
    prelude::{Index, Query, SchemaManager, Table},
    schema::{big_integer, blob, integer, string, text, uuid_null},
};

use super::head;

/// Makes the tables `audit` and `audit_head`; a service with such a log lists it among its migrations.
pub fn migration() -> Box<dyn sea_orm_migration::MigrationTrait> {
    Box::new(Migration)
}

struct Migration;

impl sea_orm_migration::MigrationName for Migration {
    fn name(&self) -> &'static str {
        "mesh_0001_audit"
    }
}

#[async_trait::async_trait]
impl sea_orm_migration::MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let by_bytes = |column| crate::db::by_bytes(column, manager.get_database_backend());
        let table = Table::create()
            .table("audit")
            .col(big_integer("seq").primary_key())
            .col(big_integer("at"))
            .col(uuid_null("actor"))
            .col(by_bytes(string("action")))
            .col(text("subject"))
            .col(text("details"))
            .col(text("address"))
            .col(text("trace"))
            .col(blob("previous"))
            .col(blob("hash"))
            .to_owned();
        manager.create_table(table).await?;
        for column in ["actor", "subject", "action"] {
            let name = format!("audit_{column}");
            let index = Index::create().name(name).table("audit").col(column).col("seq").to_owned();
            manager.create_index(index).await?;
        }
        let head = Table::create()
            .table("audit_head")
            .col(integer("id").primary_key())
            .col(big_integer("seq"))
            .col(blob("hash"))
            .to_owned();
        manager.create_table(head).await?;
        let mut first = Query::insert();
        first.into_table("audit_head").columns(["id", "seq", "hash"]);
        first
            .values([head::ID.into(), 0_i64.into(), Vec::<u8>::new().into()])
            .map_err(|cause| DbErr::Custom(cause.to_string()))?;
        manager.execute(first).await?;
        for statement in crate::db::append_only("audit", manager.get_database_backend()) {
            manager.get_connection().execute_unprepared(&statement).await?;
        }
        Ok(())
    }
}
