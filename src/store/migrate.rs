//! The database's format: telling what a file is before it is touched, and bringing an older one up to date.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use uuid::Uuid;

use crate::store::error::{Attempt, StoreError};

/// The steps from an empty file to today's format; step `n` leads to format `n + 1`. Steps are never edited once released.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
    include_str!("migrations/0004.sql"),
    include_str!("migrations/0005.sql"),
    include_str!("migrations/0006.sql"),
    include_str!("migrations/0007.sql"),
    include_str!("migrations/0008.sql"),
    include_str!("migrations/0009.sql"),
    include_str!("migrations/0010.sql"),
    include_str!("migrations/0011.sql"),
    include_str!("migrations/0012.sql"),
    include_str!("migrations/0013.sql"),
    include_str!("migrations/0014.sql"),
    include_str!("migrations/0015.sql"),
    include_str!("migrations/0016.sql"),
    include_str!("migrations/0017.sql"),
    include_str!("migrations/0018.sql"),
    include_str!("migrations/0019.sql"),
    include_str!("migrations/0020.sql"),
];

/// `dyno` in ASCII: marks the file as ours (SQLite file format, offset 68).
const APPLICATION_ID: i32 = 0x6479_6e6f;

/// The key of the node's identity in `meta`.
pub(super) const META_NODE_ID: &str = "node_id";

/// Looks at the file without writing to it: absent, empty, ours and not newer are well.
pub(super) fn inspect(path: &Path) -> Result<(), StoreError> {
    match std::fs::metadata(path) {
        Ok(meta) if meta.len() > 0 => {}
        Ok(_) | Err(_) => return Ok(()),
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |source: rusqlite::Error| match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            StoreError::Damaged { path: path.to_owned(), reason: source.to_string() }
        }
        _ => StoreError::Open { path: path.to_owned(), source },
    };
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    let found = format_of(&connection).map_err(failed)?;
    let application: i32 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(failed)?;
    if application != APPLICATION_ID {
        if is_unwritten(&connection).map_err(failed)? && (application, found) == (0, 0) {
            return Ok(());
        }
        return Err(StoreError::Foreign { path: path.to_owned() });
    }
    let known = newest(MIGRATIONS);
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    let verdict: String =
        connection.pragma_query_value(None, "quick_check", |row| row.get(0)).map_err(failed)?;
    if verdict == "ok" { Ok(()) } else { Err(StoreError::Damaged { path: path.to_owned(), reason: verdict }) }
}

/// Takes every step that the database has not taken yet, each in its own transaction.
pub(super) fn migrate(connection: &mut Connection, migrations: &[&str]) -> Result<(), StoreError> {
    loop {
        let from = format_of(connection).attempt("be asked for its format")?;
        let Some(step) = usize::try_from(from).ok().and_then(|from| migrations.get(from)) else {
            return Ok(());
        };
        take(connection, from, step).map_err(|source| StoreError::Migrate { from, source })?;
    }
}

fn take(connection: &mut Connection, from: u32, step: &str) -> Result<(), rusqlite::Error> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(step)?;
    if from == 0 {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        let id = Uuid::new_v4().to_string();
        transaction.execute("INSERT INTO meta (key, value) VALUES (?1, ?2)", [META_NODE_ID, &id])?;
    }
    transaction.pragma_update(None, "user_version", from + 1)?;
    transaction.commit()
}

/// Whether nobody has put anything into it: a node that was killed at its first start leaves a file that is a database,
/// and nothing else.
fn is_unwritten(connection: &Connection) -> Result<bool, rusqlite::Error> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
}

fn format_of(connection: &Connection) -> Result<u32, rusqlite::Error> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn newest(migrations: &[&str]) -> u32 {
    u32::try_from(migrations.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod test {
    use super::*;

    fn format(path: &Path) -> u32 {
        format_of(&Connection::open(path).unwrap()).unwrap()
    }

    #[test]
    fn every_older_format_is_brought_up_to_date() {
        for older in 0..=MIGRATIONS.len() {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("state.db");
            migrate(&mut Connection::open(&path).unwrap(), &MIGRATIONS[..older]).unwrap();
            inspect(&path).unwrap();
            migrate(&mut Connection::open(&path).unwrap(), MIGRATIONS).unwrap();
            assert_eq!(format(&path), newest(MIGRATIONS), "from {older}");
        }
    }

    #[test]
    fn a_file_that_was_begun_and_not_written_is_taken_for_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        // What is there when a node is killed between this and its first step.
        Connection::open(&path).unwrap().pragma_update(None, "journal_mode", "WAL").unwrap();
        assert!(std::fs::metadata(&path).unwrap().len() > 0);
        drop(crate::store::Store::open(&path).unwrap());
        assert_eq!(format(&path), newest(MIGRATIONS));
    }

    #[test]
    fn a_step_that_fails_leaves_the_format_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        let steps = [MIGRATIONS[0], "CREATE TABLE half (id TEXT); CREATE TABLE apps (id TEXT);"];
        let failed = migrate(&mut Connection::open(&path).unwrap(), &steps).unwrap_err();
        assert!(matches!(failed, StoreError::Migrate { from: 1, .. }), "{failed:?}");
        assert_eq!(format(&path), 1);
        let half = "SELECT count(*) FROM sqlite_schema WHERE name = 'half'";
        let left: i64 = Connection::open(&path).unwrap().query_row(half, [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0);
    }

    /// Opens what `spoil` made and asserts that the file was not written to.
    fn refusal(spoil: impl FnOnce(&Path)) -> StoreError {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        spoil(&path);
        let before = std::fs::read(&path).unwrap();
        let refusal = crate::store::Store::open(&path).unwrap_err();
        assert_eq!(std::fs::read(&path).unwrap(), before);
        refusal
    }

    fn fresh(path: &Path) -> Connection {
        let mut connection = Connection::open(path).unwrap();
        migrate(&mut connection, MIGRATIONS).unwrap();
        connection
    }

    #[test]
    fn a_newer_format_is_refused_and_not_touched() {
        let refused = refusal(|path| fresh(path).pragma_update(None, "user_version", 99).unwrap());
        assert!(matches!(refused, StoreError::Newer { found: 99, .. }), "{refused:?}");
    }

    #[test]
    fn another_programs_database_is_refused_and_not_touched() {
        let refused = refusal(|path| {
            Connection::open(path).unwrap().execute_batch("CREATE TABLE theirs (id TEXT)").unwrap();
        });
        assert!(matches!(refused, StoreError::Foreign { .. }), "{refused:?}");
    }

    #[test]
    fn damage_is_refused_and_not_touched() {
        let refused =
            refusal(|path| std::fs::write(path, "no database, but longer than a header".repeat(40)).unwrap());
        assert!(matches!(refused, StoreError::Damaged { .. }), "{refused:?}");
        let refused = refusal(|path| {
            drop(fresh(path));
            let mut bytes = std::fs::read(path).unwrap();
            let half = bytes.len() / 2;
            bytes[half..].fill(0xa5);
            std::fs::write(path, bytes).unwrap();
        });
        assert!(matches!(refused, StoreError::Damaged { .. }), "{refused:?}");
    }
}
