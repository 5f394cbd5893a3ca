//! Everything that decides where a subscriber starts and what they read, as one statement: it sees one state by itself, and costs one
//! trip.

use sea_orm::{DbBackend, FromQueryResult, Statement, entity::prelude::*};

use super::{feed::Head, member, read_marker::Marker, room, unsigned};

/// The user's own feed always gives a row; a user without rooms has one row in which everything else is missing.
const ROWS: &str = r#"
    SELECT own.head AS own_head,
        m.room_id, m.user_id, m.role, m.joined_at, m.joined_seq, m.first_visible_seq,
        r.name, r.sort_name, r.kind, r.topic, r.history, r.created_by, r.created_at, r.member_count, r.permissions, r.archived_at,
        r.retention_days, r.expired_seq, r.expired_ordinal,
        f.head, f.ordinal, f.changed, k.seq AS read_seq, k.ordinal AS read_ordinal
    FROM (SELECT {user} AS id) AS me
        LEFT JOIN feed AS own ON own.id = me.id
        LEFT JOIN member AS m ON m.user_id = me.id{only}
        LEFT JOIN room AS r ON r.id = m.room_id
        LEFT JOIN feed AS f ON f.id = m.room_id
        LEFT JOIN read_marker AS k ON k.user_id = m.user_id AND k.room_id = m.room_id
    ORDER BY m.room_id"#;

#[derive(Debug, FromQueryResult)]
struct Row {
    own_head: Option<i64>,
    room_id: Option<Uuid>,
    user_id: Option<Uuid>,
    role: Option<i32>,
    joined_at: Option<i64>,
    joined_seq: Option<i64>,
    first_visible_seq: Option<i64>,
    name: Option<String>,
    sort_name: Option<String>,
    kind: Option<i32>,
    topic: Option<String>,
    history: Option<i32>,
    created_by: Option<Uuid>,
    created_at: Option<i64>,
    member_count: Option<i32>,
    permissions: Option<i64>,
    archived_at: Option<i64>,
    retention_days: Option<i32>,
    expired_seq: Option<i64>,
    expired_ordinal: Option<i64>,
    head: Option<i64>,
    ordinal: Option<i64>,
    changed: Option<i64>,
    read_seq: Option<i64>,
    read_ordinal: Option<i64>,
}

/// A room that the user is in.
#[derive(Clone, Debug)]
pub(crate) struct Entered {
    pub(crate) member: member::Model,
    pub(crate) room: room::Model,
    pub(crate) head: Head,
    pub(crate) marker: Marker,
}

/// The number of the newest event of the user's own feed, and the rooms they are in by rising id.
pub(crate) async fn of_user<C: ConnectionTrait>(db: &C, user_id: Uuid) -> Result<(u64, Vec<Entered>), DbErr> {
    let rows = rows(db, user_id, None).await?;
    let own = rows.first().and_then(|row| row.own_head).map_or(0, unsigned);
    Ok((own, rows.into_iter().filter_map(entered).collect()))
}

/// One of the rooms that the user is in; nothing when they are not in it.
pub(crate) async fn of_room<C: ConnectionTrait>(
    db: &C,
    user_id: Uuid,
    room_id: Uuid,
) -> Result<Option<Entered>, DbErr> {
    Ok(rows(db, user_id, Some(room_id)).await?.into_iter().find_map(entered))
}

async fn rows<C: ConnectionTrait>(db: &C, user_id: Uuid, room_id: Option<Uuid>) -> Result<Vec<Row>, DbErr> {
    let backend = db.get_database_backend();
    let only = room_id.map_or_else(String::new, |_| format!(" AND m.room_id = {}", parameter(backend, 2)));
    let sql = ROWS.replace("{user}", &parameter(backend, 1)).replace("{only}", &only);
    let values = std::iter::once(user_id).chain(room_id).map(sea_orm::Value::from);
    Row::find_by_statement(Statement::from_sql_and_values(backend, sql, values)).all(db).await
}

/// How a statement names its parameter of a number.
fn parameter(backend: DbBackend, number: usize) -> String {
    let sign = if backend == DbBackend::Postgres { '$' } else { '?' };
    format!("{sign}{number}")
}

fn entered(row: Row) -> Option<Entered> {
    let (room_id, number) = (row.room_id?, |number: Option<i64>| number.map_or(0, unsigned));
    let member = member::Model {
        room_id,
        user_id: row.user_id?,
        role: row.role?,
        joined_at: row.joined_at?,
        joined_seq: row.joined_seq?,
        first_visible_seq: row.first_visible_seq?,
    };
    let room = room::Model {
        id: room_id,
        name: row.name?,
        sort_name: row.sort_name?,
        kind: row.kind?,
        topic: row.topic?,
        history: row.history?,
        created_by: row.created_by?,
        created_at: row.created_at?,
        member_count: row.member_count?,
        permissions: row.permissions?,
        archived_at: row.archived_at?,
        retention_days: row.retention_days?,
        expired_seq: row.expired_seq?,
        expired_ordinal: row.expired_ordinal?,
    };
    let head = Head { seq: number(row.head), ordinal: number(row.ordinal), changed: number(row.changed) };
    let marker = Marker { seq: number(row.read_seq), ordinal: number(row.read_ordinal) };
    Some(Entered { member, room, head, marker })
}
