//! A commit that costs PostgreSQL one trip: it locks counters, sees whether they are where the caller believes them to be, moves them
//! and writes rows, all as one statement, which is a transaction of its own.
//!
//! Rows go as an array for each column, so that the text depends on the tables only and stays prepared.

use std::fmt::Write as _;

use sea_orm::{
    DbErr, RuntimeErr, Value,
    sea_query::{Nullable, ValueType},
    sqlx::{self, AssertSqlSafe, Postgres, postgres::PgArguments, query::QueryScalar},
};
use uuid::Uuid;

use super::{Db, Rows};

/// A table of counters, and which of its columns are which. A counter never moves without its version.
#[derive(Debug)]
pub struct Counters {
    /// The table.
    pub table: &'static str,
    /// The column of the id.
    pub id: &'static str,
    /// The column that says whether somebody moved it meanwhile, and two more that move with it.
    pub moves: [&'static str; 3],
}

/// A counter that a commit depends on.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// Which one.
    pub id: Uuid,
    /// The version that it must have.
    pub version: i64,
    /// Where it goes, the version first. Nowhere, when it is where it was.
    pub then: [i64; 3],
}

impl Db {
    /// Commits rows and moves counters, if all of these counters have the version that is expected. False when they have not, and then
    /// nothing has happened. For a database that other processes write to.
    ///
    /// # Errors
    /// When the database refuses a row, and then nothing has happened; when the time ran out or the connection broke, only the
    /// database knows.
    pub async fn commit_if(&self, table: &Counters, counters: &[Expected], rows: Vec<Rows>) -> Result<bool, DbErr> {
        let rows: Vec<Rows> = rows.into_iter().filter(|rows| !rows.is_empty()).collect();
        let text = compose(table, &rows);
        let mut query = sqlx::query_scalar(AssertSqlSafe(text));
        query = query.bind(counters.iter().map(|counter| counter.id).collect::<Vec<Uuid>>());
        query = query.bind(counters.iter().map(|counter| counter.version).collect::<Vec<i64>>());
        for place in 0..table.moves.len() {
            query = query.bind(counters.iter().map(|counter| counter.then[place]).collect::<Vec<i64>>());
        }
        for rows in rows {
            query = bind_columns(query, rows)?;
        }
        let writer = self.writer();
        let failed = |cause: sqlx::Error| DbErr::Exec(RuntimeErr::SqlxError(cause.into()));
        query.fetch_one(writer.get_postgres_connection_pool()).await.map_err(failed)
    }
}

/// `locked` waits for whoever moves a counter and then sees where it is; everybody locks by rising id. `holds` is worked out once,
/// before anything is written, and everything that is written asks it.
fn compose(counters: &Counters, rows: &[Rows]) -> String {
    let Counters { table, id, moves: [version, second, third] } = counters;
    let mut text = format!(
        "WITH locked AS (SELECT {id}, {version} FROM {table} WHERE {id} = ANY($1) ORDER BY {id} FOR UPDATE), \
         holds AS (SELECT count(*) = cardinality($1::uuid[]) AS yes FROM locked \
         JOIN unnest($1::uuid[], $2::bigint[]) AS e (id, version) ON e.id = locked.{id} AND e.version = locked.{version}), \
         moved AS (UPDATE {table} SET {version} = n.a, {second} = n.b, {third} = n.c \
         FROM unnest($1::uuid[], $3::bigint[], $4::bigint[], $5::bigint[]) AS n (id, a, b, c) \
         WHERE {table}.{id} = n.id AND (SELECT yes FROM holds))"
    );
    let mut parameter = 5;
    for (place, rows) in rows.iter().enumerate() {
        let columns = rows.shape.columns.join("\", \"");
        // Writing into a text cannot fail.
        let _ =
            write!(text, ", w{place} AS (INSERT INTO \"{}\" (\"{columns}\") SELECT * FROM unnest(", rows.shape.table);
        for column in 0..rows.shape.columns.len() {
            parameter += 1;
            let kind = rows.values.get(column).map_or("text", kind);
            let _ = write!(text, "{}${parameter}::{kind}[]", if column == 0 { "" } else { ", " });
        }
        let _ = write!(text, ") WHERE (SELECT yes FROM holds) {})", rows.shape.conflict);
    }
    text.push_str(" SELECT yes FROM holds");
    text
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Uuid(_) => "uuid",
        Value::BigInt(_) => "bigint",
        Value::Bytes(_) => "bytea",
        _ => "text",
    }
}

type Query<'q> = QueryScalar<'q, Postgres, bool, PgArguments>;

fn bind_columns(mut query: Query<'_>, rows: Rows) -> Result<Query<'_>, DbErr> {
    let width = rows.shape.columns.len();
    let mut columns: Vec<Vec<Value>> = (0..width).map(|_| Vec::with_capacity(rows.values.len() / width)).collect();
    for (place, value) in rows.values.into_iter().enumerate() {
        columns[place % width].push(value);
    }
    for column in columns {
        query = match column.first() {
            Some(Value::Uuid(_)) => query.bind(gather::<Uuid>(column)?),
            Some(Value::BigInt(_)) => query.bind(gather::<i64>(column)?),
            Some(Value::Bytes(_)) => query.bind(gather::<Vec<u8>>(column)?),
            _ => query.bind(gather::<String>(column)?),
        };
    }
    Ok(query)
}

/// One column of one kind. Kinds that no row here has are refused, so that a new one is noticed.
fn gather<T: ValueType + Nullable>(column: Vec<Value>) -> Result<Vec<Option<T>>, DbErr> {
    let odd = |_| DbErr::Type(format!("a value that is no {}", T::type_name()));
    column.into_iter().map(|value| <Option<T> as ValueType>::try_from(value).map_err(odd)).collect()
}
