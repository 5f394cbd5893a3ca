//! Bytes apart from files: several files stand on one blob, count towards quotas, and end.

use sea_orm_migration::{prelude::*, schema::*, sea_orm::FromQueryResult as _};

/// `blob`, `quota_usage`, `trash`, and what files and uploads know of them.
pub(super) struct Life;

impl MigrationName for Life {
    fn name(&self) -> &'static str {
        "m0002_life"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Life {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in tables() {
            manager.create_table(table).await?;
        }
        for (table, column) in columns() {
            manager.alter_table(Table::alter().table(table).add_column(column).to_owned()).await?;
        }
        let once = Index::create().name("blob_once").table("blob").col("sha256").col("size").unique().to_owned();
        manager.create_index(once).await?;
        let released = Index::create().name("blob_released").table("blob").col("released_at").to_owned();
        manager.create_index(released).await?;
        let files = Index::create().name("file_blob").table("file").col("blob_id").to_owned();
        manager.create_index(files).await?;
        let most = Index::create().name("quota_usage_bytes").table("quota_usage").col("bytes").to_owned();
        manager.create_index(most).await?;
        carry_over(manager).await
    }
}

fn tables() -> Vec<TableCreateStatement> {
    vec![
        Table::create()
            .table("blob")
            .col(uuid("id").primary_key())
            .col(string("key"))
            .col(blob("sha256"))
            .col(big_integer("size"))
            .col(integer("state"))
            .col(big_integer("released_at"))
            .col(blob("report"))
            .to_owned(),
        Table::create().table("quota_usage").col(uuid("owner").primary_key()).col(big_integer("bytes")).to_owned(),
        Table::create().table("trash").col(string("key").primary_key()).col(big_integer("added_at")).to_owned(),
    ]
}

fn columns() -> Vec<(&'static str, ColumnDef)> {
    vec![
        ("file", uuid_null("blob_id")),
        ("file", big_integer("charged").default(0).take()),
        ("file", text("search").default("").take()),
        ("file", integer("preview").default(0).take()),
        ("file", text("preview_failure").default("").take()),
        ("file", integer("scan").default(1).take()),
        ("file", big_integer("duration_ms").default(0).take()),
        ("file", text("found").default("").take()),
        ("upload", big_integer("charged").default(0).take()),
        ("upload", boolean("done").default(false).take()),
    ]
}

#[derive(sea_orm_migration::sea_orm::FromQueryResult)]
struct Before {
    id: uuid::Uuid,
    name: String,
    size: i64,
    state: i32,
}

/// Files that are there already: each on a blob of its own, which no later file is put on, since what is known of it was not
/// kept with its bytes.
async fn carry_over(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let db = manager.get_connection();
    let files = Query::select().columns(["id", "name", "size", "state"]).from("file").to_owned();
    for row in db.query_all(&files).await? {
        let file = Before::from_query_result(&row, "")?;
        let ready = file.state == i32::from(proto::file::v1::FileState::Ready);
        let blob = Query::insert()
            .into_table("blob")
            .columns(["id", "key", "sha256", "size", "state", "released_at", "report"])
            .values_panic([
                file.id.into(),
                if ready { format!("files/{}", file.id) } else { String::new() }.into(),
                file.id.as_bytes().to_vec().into(),
                file.size.into(),
                i32::from(ready).into(),
                0_i64.into(),
                Vec::<u8>::new().into(),
            ])
            .to_owned();
        db.execute(&blob).await?;
        let search = Query::update()
            .table("file")
            .value("search", file.name.to_lowercase())
            .and_where(Expr::col("id").eq(file.id))
            .to_owned();
        db.execute(&search).await?;
    }
    for statement in [
        "UPDATE file SET blob_id = id, charged = size",
        "UPDATE upload SET done = TRUE WHERE EXISTS (SELECT 1 FROM file WHERE file.id = upload.id)",
        "UPDATE upload SET charged = \"offset\" WHERE NOT done",
        "INSERT INTO quota_usage (owner, bytes) SELECT owner, CAST(SUM(charged) AS BIGINT) FROM (SELECT uploader_id AS owner, \
         charged FROM file UNION ALL SELECT user_id, charged FROM upload) AS kept GROUP BY owner",
    ] {
        db.execute_unprepared(statement).await?;
    }
    let everybody = Query::insert()
        .into_table("quota_usage")
        .columns(["owner", "bytes"])
        .select_from(
            Query::select()
                .expr(Expr::value(uuid::Uuid::nil()))
                .expr(Expr::cust("CAST(COALESCE(SUM(bytes), 0) AS BIGINT)"))
                .from("quota_usage")
                .to_owned(),
        )
        .map_err(|cause| DbErr::Migration(cause.to_string()))?
        .to_owned();
    db.execute(&everybody).await?;
    Ok(())
}
