//! Writes that are known before anything is read: as few statements as possible, and as few trips to the database.
//!
//! A statement costs little and a trip costs much: SQLite works in a thread of its own, and waking it and being woken takes longer
//! than most of what it does.

use std::{fmt::Write as _, sync::OnceLock};

use futures::TryStreamExt as _;
use sea_orm::{
    ConnectionTrait as _, DbBackend, DbErr, RuntimeErr, Statement, Value, Values,
    sqlx::{self, Arguments as _, AssertSqlSafe, Executor as _, SqlSafeStr as _, SqlStr, sqlite::SqliteArguments},
};

use super::{Db, Together, kept::Held};

/// The most rows that one statement writes or asks for: SQLite takes 32,766 parameters, and the widest row here has ten.
const PORTION: usize = 256;
/// The most statements that go together. More of them would make so many different texts that the database would not keep them
/// prepared; and where there are many, a few trips do not matter.
const TOGETHER: usize = 10;

/// How rows of one kind are written.
#[derive(Debug)]
pub struct Insert<const N: usize>(Shape);

/// A table, and how rows come into it.
#[derive(Debug)]
pub struct Shape {
    pub(super) table: &'static str,
    pub(super) columns: &'static [&'static str],
    pub(super) conflict: &'static str,
    texts: Texts,
}

/// Rows on their way into one table.
#[derive(Debug)]
pub struct Rows {
    pub(super) shape: &'static Shape,
    /// Row after row.
    pub(super) values: Vec<Value>,
}

impl<const N: usize> Insert<N> {
    /// For a table and its columns, in the order of the values. `conflict` says what to do with rows that are there already: an
    /// `ON CONFLICT` clause, or nothing.
    pub const fn new(table: &'static str, columns: &'static [&'static str; N], conflict: &'static str) -> Self {
        let texts = Texts { sqlite: [const { OnceLock::new() }; 9], postgres: [const { OnceLock::new() }; 9] };
        Self(Shape { table, columns, conflict, texts })
    }

    /// The table, for [`Together`].
    pub const fn shape(&'static self) -> &'static Shape {
        &self.0
    }

    /// These rows, for this table.
    pub fn rows(&'static self, rows: impl IntoIterator<Item = [Value; N]>) -> Rows {
        let rows = rows.into_iter();
        let mut values = Vec::with_capacity(rows.size_hint().0 * N);
        rows.for_each(|row| values.extend(row));
        Rows { shape: &self.0, values }
    }
}

impl Rows {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.values.len() / self.shape.columns.len()
    }

    /// Statements that write these rows: few, and of few different texts.
    pub fn statements(self, backend: DbBackend) -> Vec<Statement> {
        let width = self.shape.columns.len();
        let rows = self.len();
        let mut values = self.values.into_iter();
        let statement = |rows: usize| {
            let values: Vec<Value> = values.by_ref().take(rows * width).collect();
            Statement { sql: self.shape.text(backend, rows), values: Some(Values(values)), db_backend: backend }
        };
        lengths(rows).map(statement).collect()
    }
}

impl Shape {
    fn text(&self, backend: DbBackend, rows: usize) -> String {
        let texts = if backend == DbBackend::Postgres { &self.texts.postgres } else { &self.texts.sqlite };
        let place = rows.ilog2() as usize;
        match texts.get(place) {
            Some(text) if rows.is_power_of_two() => text.get_or_init(|| self.compose(backend, rows)).clone(),
            _ => self.compose(backend, rows),
        }
    }

    fn compose(&self, backend: DbBackend, rows: usize) -> String {
        let width = self.columns.len();
        // What SQLite would note to undo a statement that fails costs as much as a tenth of it, and is not needed: whoever writes rows
        // gives their whole transaction up then.
        let insert = if backend == DbBackend::Postgres { "INSERT" } else { "INSERT OR FAIL" };
        let mut text = format!("{insert} INTO \"{}\" (\"{}\") VALUES ", self.table, self.columns.join("\", \""));
        for row in 0..rows {
            text.push_str(if row == 0 { "(" } else { ", (" });
            for column in 0..width {
                text.push_str(if column == 0 { "" } else { ", " });
                match backend {
                    // Writing into a text cannot fail.
                    DbBackend::Postgres => _ = write!(text, "${}", row * width + column + 1),
                    _ => text.push('?'),
                }
            }
            text.push(')');
        }
        text.push(' ');
        text.push_str(self.conflict);
        text
    }
}

/// The texts that were composed before, by the power of two of their rows.
#[derive(Debug)]
struct Texts {
    sqlite: [OnceLock<String>; 9],
    postgres: [OnceLock<String>; 9],
}

/// Cuts a list into pieces whose lengths are powers of two, the largest first. A statement's text depends on how many rows it
/// has; this way there are nine texts instead of hundreds, and the database keeps all of them prepared.
pub fn portions<T>(list: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = list;
    lengths(list.len()).map(move |length| {
        let (portion, left) = rest.split_at(length);
        rest = left;
        portion
    })
}

fn lengths(mut rest: usize) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let length = 1 << rest.min(PORTION).checked_ilog2()?;
        rest -= length;
        Some(length)
    })
}

impl Db {
    /// Commits rows in one transaction, a few for a database of this process with one trip to it; those that `together` takes, with one
    /// statement. Nothing has happened when it fails, unless the time ran out or the connection broke: then only the database knows.
    ///
    /// # Errors
    /// When the database refuses one of them, or cannot be reached.
    pub async fn commit_at_once(&self, together: &'static Together, mut rows: Vec<Rows>) -> Result<(), DbErr> {
        rows.retain(|rows| !rows.is_empty());
        if rows.is_empty() {
            return Ok(());
        }
        if self.is_shared() {
            let tx = self.begin().await?;
            for statement in statements(rows, DbBackend::Postgres) {
                tx.execute_raw(statement).await?;
            }
            return tx.commit().await;
        }
        let writer = self.writer();
        let mut held = self.kept.hold(writer.get_sqlite_connection_pool()).await?;
        if self.take_left_open() {
            // An error says that there is no transaction, which is as good.
            let _ = run(&mut held, "ROLLBACK".into_sql_str(), Vec::new(), 1).await;
        }
        match together.statement(rows) {
            Ok((text, values)) => run(&mut held, text.into_sql_str(), values, 1).await?,
            Err(rows) => self.commit_statements(&mut held, statements(rows, DbBackend::Sqlite)).await?,
        }
        held.keep();
        Ok(())
    }

    /// A caller who hangs up leaves a transaction open, and an error as well.
    async fn commit_statements(&self, held: &mut Held<'_>, statements: Vec<Statement>) -> Result<(), DbErr> {
        self.left_open();
        let of = |statement: Statement| (statement.sql, statement.values.map(|values| values.0).unwrap_or_default());
        if statements.len() > TOGETHER {
            run(held, "BEGIN IMMEDIATE".into_sql_str(), Vec::new(), 1).await?;
            for (text, values) in statements.into_iter().map(of) {
                run(held, AssertSqlSafe(text).into_sql_str(), values, 1).await?;
            }
            run(held, "COMMIT".into_sql_str(), Vec::new(), 1).await?;
        } else {
            let (count, mut text, mut together) = (statements.len() + 2, "BEGIN IMMEDIATE".to_owned(), Vec::new());
            for (one, mut values) in statements.into_iter().map(of) {
                text.push(';');
                text.push_str(&one);
                together.append(&mut values);
            }
            text.push_str(";COMMIT");
            run(held, AssertSqlSafe(text).into_sql_str(), together, count).await?;
        }
        self.left_nothing();
        Ok(())
    }
}

fn statements(rows: Vec<Rows>, backend: DbBackend) -> Vec<Statement> {
    rows.into_iter().flat_map(|rows| rows.statements(backend)).collect()
}

/// Runs a text of so many statements. Returns with the last one's result instead of waiting for the end of results, which would be
/// one more time to be woken.
async fn run(held: &mut Held<'_>, text: SqlStr, values: Vec<Value>, statements: usize) -> Result<(), DbErr> {
    let failed = |cause: sqlx::Error| DbErr::Exec(RuntimeErr::SqlxError(cause.into()));
    let mut results = held.connection().fetch_many(sqlx::query_with(text, bind(values)?));
    for _ in 0..statements {
        results.try_next().await.map_err(failed)?;
    }
    Ok(())
}

/// Values of the kinds that rows here have. Others are refused, so that a new one is noticed.
fn bind(values: Vec<Value>) -> Result<SqliteArguments, DbErr> {
    let mut arguments = SqliteArguments::default();
    arguments.reserve(values.len(), 0);
    for value in values {
        let added = match value {
            Value::Uuid(value) => arguments.add(value),
            Value::BigInt(value) => arguments.add(value),
            Value::Bytes(value) => arguments.add(value),
            Value::String(value) => arguments.add(value),
            other => return Err(DbErr::Type(format!("rows have no {other:?}"))),
        };
        added.map_err(|cause| DbErr::Exec(RuntimeErr::SqlxError(sqlx::Error::Encode(cause).into())))?;
    }
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use sea_orm::ConnectionTrait as _;

    use super::*;
    use crate::db::tests::opened;

    static ROWS: Insert<2> = Insert::new("t", &["a", "b"], "");

    static NOTHING: Together = Together::new("nothing", &[]);

    async fn database(folder: &tempfile::TempDir) -> Db {
        let db = opened(folder).await;
        db.writer().execute_unprepared("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)").await.unwrap();
        db
    }

    fn rows(numbers: std::ops::Range<i64>) -> Rows {
        ROWS.rows(numbers.map(|number| [number.into(), format!("row {number}").into()]))
    }

    async fn commit(db: &Db, rows: Vec<Rows>) -> Result<(), DbErr> {
        db.commit_at_once(&NOTHING, rows).await
    }

    async fn count(db: &Db) -> i64 {
        let row = Statement::from_string(DbBackend::Sqlite, "SELECT count(*) FROM t");
        db.reader().query_one_raw(row).await.unwrap().unwrap().try_get_by_index(0).unwrap()
    }

    #[tokio::test]
    async fn all_of_them_are_committed_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let db = database(&folder).await;
        commit(&db, vec![rows(0..7)]).await.unwrap();
        assert_eq!(count(&db).await, 7);
        for twice in [vec![rows(10..12), rows(3..4)], vec![rows(10..4000), rows(3..4)]] {
            assert!(commit(&db, twice).await.is_err());
            assert_eq!(count(&db).await, 7, "10 and 11 are not there");
        }
        commit(&db, vec![rows(10..12)]).await.unwrap();
        let tx = db.begin().await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(count(&db).await, 9);
        commit(&db, vec![rows(1000..9000)]).await.unwrap();
        assert_eq!(count(&db).await, 8009, "more than goes together");
    }

    #[tokio::test]
    async fn a_caller_who_hangs_up_leaves_no_transaction_behind() {
        let folder = tempfile::tempdir().unwrap();
        let db = database(&folder).await;
        for round in 0..50 {
            let numbers = round * 10..round * 10 + 9;
            let hurried = tokio::time::timeout(std::time::Duration::from_micros(200), commit(&db, vec![rows(numbers)]));
            let _ = hurried.await;
            let tx = db.begin().await.expect("nothing is left open");
            tx.rollback().await.unwrap();
            let now = count(&db).await;
            assert!(now % 9 == 0, "whole or not at all: {now}");
        }
    }

    #[tokio::test]
    async fn commits_and_other_transactions_take_turns() {
        let folder = tempfile::tempdir().unwrap();
        let db = database(&folder).await;
        let commits = async {
            for number in 0..200 {
                commit(&db, vec![rows(number..number + 1)]).await.unwrap();
            }
        };
        let others = async {
            for _ in 0..50 {
                let tx = db.begin().await.unwrap();
                tx.execute_unprepared("UPDATE t SET b = 'seen'").await.unwrap();
                tokio::task::yield_now().await;
                tx.commit().await.unwrap();
            }
        };
        let patience = std::time::Duration::from_secs(60);
        tokio::time::timeout(patience, futures::future::join(commits, others)).await.expect("nobody waits for ever");
        assert_eq!(count(&db).await, 200);
        let other = db.clone();
        db.close().await.unwrap();
        assert!(commit(&other, vec![rows(500..501)]).await.is_err(), "a closed database takes nothing");
    }

    #[test]
    fn portions_are_powers_of_two_and_lose_nothing() {
        for length in [0, 1, 2, 3, 37, 255, 256, 257, 700] {
            let list: Vec<usize> = (0..length).collect();
            let cut: Vec<&[usize]> = portions(&list).collect();
            assert!(cut.iter().all(|portion| portion.len().is_power_of_two() && portion.len() <= PORTION));
            assert_eq!(cut.concat(), list);
        }
        assert_eq!(portions(&[0; 37]).map(<[i32]>::len).collect::<Vec<_>>(), [32, 4, 1]);
    }

    #[test]
    fn each_database_has_its_placeholders() {
        let two = || ROWS.rows([[1.into(), "x".into()], [2.into(), "y".into()]]);
        let text = |backend| statements(vec![two()], backend).pop().map(|statement| statement.sql).unwrap_or_default();
        assert_eq!(text(DbBackend::Sqlite), r#"INSERT OR FAIL INTO "t" ("a", "b") VALUES (?, ?), (?, ?) "#);
        assert_eq!(text(DbBackend::Postgres), r#"INSERT INTO "t" ("a", "b") VALUES ($1, $2), ($3, $4) "#);
    }
}
