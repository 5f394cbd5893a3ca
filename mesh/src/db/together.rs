//! Rows of several tables that SQLite takes with one statement.
//!
//! Each statement of a transaction wakes whoever waits for it, and a small commit is cheaper than being woken for its parts. A view has
//! the columns of all tables side by side, and triggers put what is inserted into it where it belongs. One statement is a transaction of
//! its own, so nothing begins or ends it.

use std::sync::OnceLock;

use sea_orm::Value;

use super::at_once::{Rows, Shape};

/// The most rows that go this way. With more of them a trigger's work outweighs what is saved.
const MOST: usize = 8;

/// Tables whose rows can be written together.
#[derive(Debug)]
pub struct Together {
    view: &'static str,
    tables: &'static [&'static Shape],
    /// By the number of rows.
    texts: [OnceLock<String>; MOST],
}

impl Together {
    /// For these tables, by a view of this name. The first column of each table is never nothing: it says that there is a row.
    pub const fn new(view: &'static str, tables: &'static [&'static Shape]) -> Self {
        Self { view, tables, texts: [const { OnceLock::new() }; MOST] }
    }

    /// What makes the view and its triggers, for a migration. A later one that changes a table or its conflict clause drops the view,
    /// and its triggers with it, and makes them anew.
    pub fn create(&self) -> Vec<String> {
        let columns = self.tables.iter().flat_map(|table| table.columns.iter().map(|column| (table.table, column)));
        let columns: Vec<String> = columns.map(|(table, column)| format!("NULL AS \"{table}_{column}\"")).collect();
        let view = format!("CREATE VIEW \"{}\" AS SELECT {}", self.view, columns.join(", "));
        std::iter::once(view).chain(self.tables.iter().map(|table| self.trigger(table))).collect()
    }

    fn trigger(&self, Shape { table, columns, conflict, .. }: &Shape) -> String {
        let view = self.view;
        let new: Vec<String> = columns.iter().map(|column| format!("NEW.\"{table}_{column}\"")).collect();
        let (first, new, columns) = (&new[0], new.join(", "), columns.join("\", \""));
        format!(
            "CREATE TRIGGER \"{view}_{table}\" INSTEAD OF INSERT ON \"{view}\" WHEN {first} IS NOT NULL BEGIN \
             INSERT INTO \"{table}\" (\"{columns}\") VALUES ({new}) {conflict}; END"
        )
    }

    /// One statement for these rows, if they are few and all of them belong here; otherwise they come back.
    pub(super) fn statement(&'static self, mut rows: Vec<Rows>) -> Result<(&'static str, Vec<Value>), Vec<Rows>> {
        let is = |table: &Shape, rows: &Rows| std::ptr::eq(table, rows.shape);
        let foreign = rows.iter().any(|rows| !self.tables.iter().any(|table| is(table, rows)));
        let of_table = |table: &&Shape| rows.iter().filter(|rows| is(table, rows)).map(Rows::len).sum::<usize>();
        let count = self.tables.iter().map(of_table).max().unwrap_or_default();
        let text = count.checked_sub(1).and_then(|place| self.texts.get(place));
        let Some(text) = text.filter(|_| !foreign) else { return Err(rows) };
        let part = |table: &&Shape| {
            let lists = rows.iter_mut().filter(|rows| is(table, rows));
            let part: Vec<Value> = lists.flat_map(|rows| std::mem::take(&mut rows.values)).collect();
            (table.columns.len(), part.into_iter())
        };
        let mut parts: Vec<_> = self.tables.iter().map(part).collect();
        let mut values = Vec::with_capacity(count * self.width());
        for _ in 0..count {
            for (width, part) in &mut parts {
                values.extend((0..*width).map(|_| part.next().unwrap_or(Value::BigInt(None))));
            }
        }
        Ok((text.get_or_init(|| self.compose(count)), values))
    }

    fn width(&self) -> usize {
        self.tables.iter().map(|table| table.columns.len()).sum()
    }

    fn compose(&self, rows: usize) -> String {
        let row = format!("({})", vec!["?"; self.width()].join(", "));
        format!("INSERT INTO \"{}\" VALUES {}", self.view, vec![row; rows].join(", "))
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::{ConnectionTrait as _, DbBackend, DbErr, Statement};

    use super::*;
    use crate::db::{Db, Insert, tests::opened};

    static PLAIN: Insert<2> = Insert::new("plain", &["id", "text"], "");
    static COUNTER: Insert<2> =
        Insert::new("counter", &["id", "value"], "ON CONFLICT (id) DO UPDATE SET value = excluded.value");
    static OTHER: Insert<1> = Insert::new("other", &["id"], "");
    static BOTH: Together = Together::new("both", &[PLAIN.shape(), COUNTER.shape()]);

    fn plain(numbers: std::ops::Range<i64>) -> Rows {
        PLAIN.rows(numbers.map(|number| [number.into(), format!("row {number}").into()]))
    }

    fn counter(value: i64) -> Rows {
        COUNTER.rows([[7_i64.into(), value.into()]])
    }

    async fn database(folder: &tempfile::TempDir) -> Db {
        let db = opened(folder).await;
        let tx = db.begin().await.unwrap();
        for table in [
            "CREATE TABLE plain (id INTEGER PRIMARY KEY, text TEXT NOT NULL)",
            "CREATE TABLE counter (id INTEGER PRIMARY KEY, value INTEGER NOT NULL)",
            "CREATE TABLE other (id INTEGER PRIMARY KEY)",
        ] {
            tx.execute_unprepared(table).await.unwrap();
        }
        for statement in BOTH.create() {
            tx.execute_unprepared(&statement).await.unwrap();
        }
        tx.commit().await.unwrap();
        db
    }

    async fn there_is(db: &Db) -> (i64, i64, i64) {
        let text = "SELECT (SELECT count(*) FROM plain), (SELECT coalesce(max(value), 0) FROM counter), (SELECT count(*) FROM other)";
        let row = Statement::from_string(DbBackend::Sqlite, text);
        let row = db.reader().query_one_raw(row).await.unwrap().unwrap();
        let number = |place| row.try_get_by_index(place).unwrap();
        (number(0), number(1), number(2))
    }

    #[tokio::test]
    async fn each_row_comes_into_its_table_whichever_way_it_goes() {
        let folder = tempfile::tempdir().unwrap();
        let db = database(&folder).await;
        let commit = |rows| db.commit_at_once(&BOTH, rows);
        commit(vec![plain(0..3), counter(3)]).await.unwrap();
        assert_eq!(there_is(&db).await, (3, 3, 0));
        commit(vec![counter(4), plain(3..3)]).await.unwrap();
        assert_eq!(there_is(&db).await, (3, 4, 0));
        commit(vec![plain(3..5), plain(5..8)]).await.unwrap();
        assert_eq!(there_is(&db).await, (8, 4, 0), "two lists for one table");
        commit(vec![plain(8..100), counter(100)]).await.unwrap();
        assert_eq!(there_is(&db).await, (100, 100, 0), "too many for one statement");
        commit(vec![plain(100..101), OTHER.rows([[1_i64.into()]])]).await.unwrap();
        assert_eq!(there_is(&db).await, (101, 100, 1), "a table that does not belong");
        commit(vec![]).await.unwrap();
    }

    #[tokio::test]
    async fn all_of_it_is_there_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let db = database(&folder).await;
        db.commit_at_once(&BOTH, vec![plain(3..4), counter(1)]).await.unwrap();
        for twice in [plain(0..4), plain(3..4), plain(0..90)] {
            let refused = db.commit_at_once(&BOTH, vec![counter(2), twice]).await.unwrap_err();
            assert!(matches!(refused.sql_err(), Some(sea_orm::SqlErr::UniqueConstraintViolation(_))), "{refused}");
            assert_eq!(there_is(&db).await, (1, 1, 0));
        }
        db.commit_at_once(&BOTH, vec![plain(4..5), counter(5)]).await.unwrap();
        assert_eq!(there_is(&db).await, (2, 5, 0), "nothing was left open");
    }

    #[test]
    fn only_few_rows_of_known_tables_go_together() {
        let together = |rows| BOTH.statement(rows).map_err(|rows: Vec<Rows>| rows.iter().map(Rows::len).sum::<usize>());
        let (text, values) = together(vec![plain(0..2), counter(9)]).unwrap();
        assert_eq!(text, r#"INSERT INTO "both" VALUES (?, ?, ?, ?), (?, ?, ?, ?)"#);
        let nothing = || Value::BigInt(None);
        let row = |number: i64| [Value::from(number), format!("row {number}").into()];
        assert_eq!(values, [&row(0)[..], &[7_i64.into(), 9_i64.into()], &row(1), &[nothing(), nothing()]].concat());
        assert_eq!(together(vec![plain(0..9), counter(1)]), Err(10));
        assert_eq!(together(vec![counter(1), OTHER.rows([[1_i64.into()]])]), Err(2));
        assert_eq!(together(vec![]), Err(0));
    }

    #[tokio::test]
    async fn a_value_of_an_unknown_kind_is_refused_and_harms_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let db = database(&folder).await;
        let odd = PLAIN.rows([[1_i64.into(), Value::Double(Some(1.0))]]);
        assert!(matches!(db.commit_at_once(&BOTH, vec![odd]).await, Err(DbErr::Type(_))));
        db.commit_at_once(&BOTH, vec![plain(0..1)]).await.unwrap();
        assert_eq!(there_is(&db).await, (1, 0, 0));
    }
}
