//! Tables that the database itself keeps from being changed.

use sea_orm::DbBackend;

/// Makes a table one whose rows the database itself refuses to change or to remove: the triggers `TABLE_no_update` and
/// `TABLE_no_delete`.
pub fn append_only(table: &str, backend: DbBackend) -> Vec<String> {
    let text = format!("{table} is append-only");
    if backend == DbBackend::Postgres {
        let function = format!(
            "CREATE FUNCTION {table}_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '{text}'; END $$"
        );
        let trigger = |name: &str, event: &str| {
            format!(
                "CREATE TRIGGER {table}_{name} BEFORE {event} ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {table}_refuse()"
            )
        };
        return vec![function, trigger("no_update", "UPDATE"), trigger("no_delete", "DELETE OR TRUNCATE")];
    }
    let trigger = |name: &str, event: &str| {
        format!("CREATE TRIGGER {table}_{name} BEFORE {event} ON {table} BEGIN SELECT RAISE(ABORT, '{text}'); END")
    };
    vec![trigger("no_update", "UPDATE"), trigger("no_delete", "DELETE")]
}
