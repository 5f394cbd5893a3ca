//! What is kept for how long: which messages refer to which files, and how long rooms keep messages.

use prost::Message as _;
use proto::chat::v1::{Event, event::Body};
use sea_orm_migration::{
    prelude::*,
    schema::{big_integer, integer, uuid},
    sea_orm::{DbBackend, FromQueryResult},
};

/// How many events are read at a time.
const PAGE: u64 = 500;

/// `message_file`, filled from the messages that are there, and what a room says of how long it keeps messages.
pub(super) struct Keeping;

impl MigrationName for Keeping {
    fn name(&self) -> &'static str {
        "m0003_keeping"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Keeping {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let columns = [integer("retention_days"), big_integer("expired_seq"), big_integer("expired_ordinal")];
        for mut column in columns {
            let alter = Table::alter().table("room").add_column(column.default(0).take()).to_owned();
            manager.alter_table(alter).await?;
        }
        let mut table = Table::create()
            .table("message_file")
            .col(uuid("message_id"))
            .col(uuid("file_id"))
            .col(uuid("room_id"))
            .primary_key(Index::create().col("message_id").col("file_id"))
            .to_owned();
        if manager.get_database_backend() == DbBackend::Sqlite {
            table.extra("WITHOUT ROWID");
        }
        manager.create_table(table).await?;
        let by_file = Index::create().name("message_file_file").table("message_file").col("file_id").to_owned();
        manager.create_index(by_file).await?;
        fill(manager).await
    }
}

#[derive(FromQueryResult)]
struct Posting {
    feed_id: uuid::Uuid,
    seq: i64,
    bytes: Vec<u8>,
    message_id: uuid::Uuid,
}

/// An edit keeps the files of its message, and the posting of a deleted message is a stub: so the postings say everything.
async fn fill(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let db = manager.get_connection();
    let mut after = (uuid::Uuid::nil(), 0);
    loop {
        // As a row, so that both databases go on in the log's key instead of beginning anew for each page.
        let place = Expr::tuple([Expr::col("feed_id"), Expr::col("seq")]);
        let after_last = place.gt(Expr::tuple([Expr::val(after.0), Expr::val(after.1)]));
        let page = Query::select()
            .columns(["feed_id", "seq", "bytes", "message_id"])
            .from("event")
            .and_where(Expr::col("message_id").is_not_null())
            .and_where(after_last)
            .order_by("feed_id", Order::Asc)
            .order_by("seq", Order::Asc)
            .limit(PAGE)
            .to_owned();
        let rows = db.query_all(&page).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        let last = Posting::from_query_result(last, "")?;
        after = (last.feed_id, last.seq);
        let mut insert = Query::insert();
        insert.into_table("message_file").columns(["message_id", "file_id", "room_id"]);
        let mut found = false;
        for row in &rows {
            let row = Posting::from_query_result(row, "")?;
            for file in files(&row.bytes) {
                let values = [row.message_id.into(), file.into(), row.feed_id.into()];
                insert.values(values).map_err(|cause| DbErr::Migration(cause.to_string()))?;
                found = true;
            }
        }
        if found {
            insert.on_conflict(OnConflict::new().do_nothing().to_owned());
            db.execute(&insert).await?;
        }
    }
}

fn files(bytes: &[u8]) -> Vec<uuid::Uuid> {
    let posted = match Event::decode(bytes).map(|event| event.body) {
        Ok(Some(Body::MessagePosted(posted))) => posted.message,
        _ => None,
    };
    let files = posted.into_iter().flat_map(|message| message.files);
    files.filter_map(|file| uuid::Uuid::try_parse(&file.id).ok()).collect()
}

#[cfg(test)]
mod tests {
    use mesh::db::Insert;
    use proto::{
        chat::v1::{Message, MessagePosted, Redacted},
        file::v1::File,
    };
    use sea_orm_migration::{
        MigratorTrait as _,
        sea_orm::{ConnectOptions, Database, DbBackend},
    };
    use uuid::Uuid;

    use super::*;
    use crate::{Migrator, store::message_file};

    static EVENT: Insert<5> = Insert::new("event", &["feed_id", "seq", "bytes", "hash", "message_id"], "");

    #[tokio::test]
    async fn messages_that_are_there_keep_their_files() {
        let mut options = ConnectOptions::new("sqlite::memory:");
        options.max_connections(1);
        let db = Database::connect(options).await.unwrap();
        let before = Migrator::migrations().iter().position(|step| step.name() == "m0003_keeping").unwrap();
        Migrator::up(&db, Some(<u32 as TryFrom<usize>>::try_from(before).unwrap())).await.unwrap();
        // Enough for several pages, with files on every third message; one was deleted.
        let room = mesh::ids::new_id();
        let (mut messages, mut rows) = (Vec::new(), Vec::new());
        for seq in 1..=1300_i64 {
            let (message_id, file_id) = (mesh::ids::new_id(), mesh::ids::new_id());
            let files =
                if seq % 3 == 0 { vec![File { id: file_id.to_string(), ..File::default() }] } else { Vec::new() };
            if seq % 3 == 0 && seq != 600 {
                messages.push((message_id, file_id));
            }
            let body = match seq {
                600 => Body::Redacted(Redacted::default()),
                _ => Body::MessagePosted(MessagePosted { message: Some(Message { files, ..Message::default() }) }),
            };
            let bytes = Event { body: Some(body), ..Event::default() }.encode_to_vec();
            rows.push([room.into(), seq.into(), bytes.into(), Vec::<u8>::new().into(), Some(message_id).into()]);
        }
        for statement in EVENT.rows(rows).statements(DbBackend::Sqlite) {
            db.execute_raw(statement).await.unwrap();
        }
        Migrator::up(&db, None).await.unwrap();
        let mut found = std::collections::HashSet::new();
        for (message, file) in &messages {
            let files = message_file::of(&db, &[*message]).await.unwrap();
            assert_eq!(files.iter().collect::<Vec<&Uuid>>(), [file]);
            found.extend(files);
        }
        assert_eq!(found.len(), 432);
    }
}
