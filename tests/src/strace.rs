//! What `strace` saw of a server: whether every answer left after what it promises was on disk.
//!
//! A kill cannot show a missing sync, because the kernel keeps what was written. The trace can: it has the bytes of each write,
//! and the moment at which each call began and returned, as the kernel saw them.

use std::{
    collections::HashMap,
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::{
    process::{Process, binary},
    servers,
};

/// A system call: its begin and end are lines of the trace.
#[derive(Debug)]
pub struct Call {
    name: String,
    /// What the first argument is open on: a path, or `socket:[…]`.
    file: String,
    data: Vec<u8>,
    begins: usize,
    ends: usize,
    result: i64,
}

/// Makes a program that runs the server under `strace`, in `folder`, with the trace beside it.
///
/// # Panics
/// When `strace` is not installed, or the folder cannot be written to.
pub fn traced_server(folder: &Path) -> (PathBuf, PathBuf) {
    let strace = servers::on_path("strace").expect("strace is here: run `tests/needs.sh strace`");
    let (program, trace) = (folder.join("traced-loquat"), folder.join("trace"));
    let calls = "write,writev,pwrite64,pwritev,sendto,sendmsg,fsync,fdatasync";
    let script = format!(
        "#!/bin/sh\nexec '{}' -f --seccomp-bpf -y -xx -s 100000 -e trace={calls} -e signal=none -o '{}' '{}' \"$@\"\n",
        strace.display(),
        trace.display(),
        std::path::absolute(binary()).expect("a path").display(),
    );
    std::fs::write(&program, script).expect("a program");
    std::fs::set_permissions(&program, Permissions::from_mode(0o755)).expect("a program that can be run");
    (program, trace)
}

/// Ends the server under `strace` with `kill -9`; `strace` ends after it, with a whole trace.
///
/// # Panics
/// When there is no server under it.
pub fn kill_child_of(strace: &Process) {
    let pid = strace.id();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let child = children.split_whitespace().next().and_then(|child| child.parse().ok());
    servers::signal("KILL", &[child.expect("strace has a child")]);
}

/// Reads a trace made with `-f -y -xx`.
pub fn read(trace: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut unfinished: HashMap<&str, (usize, &str)> = HashMap::new();
    for (at, line) in trace.lines().enumerate() {
        let Some((pid, text)) = line.trim_start().split_once(char::is_whitespace) else { continue };
        let text = text.trim_start();
        if let Some(begin) = text.strip_suffix("<unfinished ...>") {
            unfinished.insert(pid, (at, begin));
        } else if let Some((_, rest)) = text.strip_prefix("<... ").and_then(|text| text.split_once("resumed>")) {
            if let Some((begins, begin)) = unfinished.remove(pid) {
                calls.extend(call(&format!("{begin}{rest}"), begins, at));
            }
        } else {
            calls.extend(call(text, at, at));
        }
    }
    calls.sort_by_key(|call| call.begins);
    calls
}

fn call(text: &str, begins: usize, ends: usize) -> Option<Call> {
    let (name, arguments) = text.split_once('(')?;
    let (arguments, result) = arguments.rsplit_once(" = ")?;
    let result = result.split_whitespace().next()?.parse().ok()?;
    let file = arguments.split_once('<')?.1.split_once('>')?.0;
    let data = arguments.split('"').skip(1).step_by(2).flat_map(bytes).collect();
    let file = String::from_utf8_lossy(&bytes(file)).into_owned();
    Some(Call { name: name.to_owned(), file, data, begins, ends, result })
}

/// `\x41\x42` as bytes.
fn bytes(hex: &str) -> Vec<u8> {
    hex.split("\\x").skip(1).filter_map(|digits| u8::from_str_radix(digits.get(..2)?, 16).ok()).collect()
}

/// Checks that every write of these texts to a socket began after a sync of the log had returned that began after the
/// transaction with the text had been written to the log. `database` is the SQLite file, whose log is `…-wal`.
///
/// # Errors
/// Says which text was told too early, or never.
pub fn told_after_sync(calls: &[Call], database: &str, texts: &[String]) -> Result<(), String> {
    let log = format!("{database}-wal");
    let writes: Vec<&Call> = calls.iter().filter(|call| call.file == log && call.name.contains("write")).collect();
    let syncs: Vec<&Call> = calls.iter().filter(|call| call.file == log && call.name.ends_with("sync")).collect();
    let told: Vec<&Call> = calls.iter().filter(|call| call.file.starts_with("socket:")).collect();
    for text in texts {
        let first = told.iter().find(|call| contains(&call.data, text)).ok_or(format!("{text} was never told"))?;
        let written = writes.iter().position(|call| contains(&call.data, text));
        let written = written.ok_or(format!("{text} was never written to {log}"))?;
        let commit = commit(&writes, written).ok_or(format!("the transaction of {text} was never whole"))?;
        let durable = |sync: &&&Call| sync.begins > commit.ends && sync.ends < first.begins && sync.result == 0;
        if !syncs.iter().any(|sync| durable(&sync)) {
            return Err(format!(
                "{text} was told in line {} and its transaction written in line {}: no sync of the log in between",
                first.begins + 1,
                commit.ends + 1
            ));
        }
    }
    Ok(())
}

/// The last write of the transaction that a page belongs to. Before each page stands a frame header of 24 bytes; that of the
/// last page of a transaction has the size of the database from its fifth byte on, the others have 0 there.
fn commit<'c>(writes: &[&'c Call], page: usize) -> Option<&'c Call> {
    let header = |call: &Call| call.data.len() == 24;
    let own = (0..page).rev().find(|place| header(writes[*place]))?;
    let last = (own..writes.len()).find(|place| header(writes[*place]) && writes[*place].data[4..8] != [0; 4])?;
    writes.get(last + 1).copied()
}

fn contains(data: &[u8], text: &str) -> bool {
    data.windows(text.len()).any(|window| window == text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATABASE: &str = "/d/chat.db";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
    }

    fn write(file: &str, data: &[u8]) -> String {
        format!("pwrite64(7<{}>, \"{}\", {}, 0)", hex(file.as_bytes()), hex(data), data.len())
    }

    fn header(commits: bool) -> String {
        let mut header = [7; 24];
        header[4..8].copy_from_slice(&[0, 0, 0, u8::from(commits)]);
        format!("11 {} = 24", write("/d/chat.db-wal", &header))
    }

    fn page(text: &str) -> String {
        format!("11 {} = 4096", write("/d/chat.db-wal", format!("..{text}..").as_bytes()))
    }

    fn sync(file: &str, result: &str) -> String {
        format!("11 fdatasync(7<{}>) = {result}", hex(file.as_bytes()))
    }

    fn tell(text: &str) -> String {
        format!("12 sendto(9<{}>, \"{}\", 9, 0, NULL, 0) = 9", hex(b"socket:[1]"), hex(text.as_bytes()))
    }

    fn verdict(lines: &[String]) -> Result<(), String> {
        told_after_sync(&read(&lines.join("\n")), DATABASE, &["hello".to_owned()])
    }

    /// The page with the text, another one that ends the transaction.
    fn transaction() -> Vec<String> {
        vec![header(false), page("hello"), header(true), page("index")]
    }

    fn then(more: &[String]) -> Result<(), String> {
        verdict(&[transaction().as_slice(), more].concat())
    }

    #[test]
    fn an_answer_after_the_sync_is_good() {
        then(&[sync("/d/chat.db-wal", "0"), tell("hello")]).unwrap();
    }

    #[test]
    fn an_answer_before_the_sync_is_found() {
        let refused = then(&[tell("hello"), sync("/d/chat.db-wal", "0")]).unwrap_err();
        assert!(refused.contains("told in line 5"), "{refused}");
    }

    #[test]
    fn a_sync_of_something_else_or_one_that_failed_does_not_count() {
        assert!(then(&[sync("/d/auth.db-wal", "0"), tell("hello")]).is_err());
        assert!(then(&[sync("/d/chat.db-wal", "-1 EIO (Input/output error)"), tell("hello")]).is_err());
        assert!(then(&[tell("hello")]).is_err());
    }

    #[test]
    fn a_sync_before_the_transaction_was_whole_does_not_count() {
        let lines =
            [header(false), page("hello"), sync("/d/chat.db-wal", "0"), header(true), page("index"), tell("hello")];
        assert!(verdict(&lines).is_err());
    }

    #[test]
    fn a_sync_counts_when_it_has_returned() {
        let begun = format!("11 fdatasync(7<{}> <unfinished ...>", hex(b"/d/chat.db-wal"));
        let returned = "11 <... fdatasync resumed>) = 0".to_owned();
        then(&[begun.clone(), returned.clone(), tell("hello")]).unwrap();
        assert!(then(&[begun.clone(), tell("hello"), returned.clone()]).is_err());
        // One that had begun before the last page was written does not hold it.
        let whole = transaction();
        let lines = [whole[..3].to_vec(), vec![begun, whole[3].clone(), returned, tell("hello")]].concat();
        assert!(verdict(&lines).is_err());
    }

    #[test]
    fn what_was_never_written_or_told_is_found() {
        assert!(then(&[sync("/d/chat.db-wal", "0")]).unwrap_err().contains("never told"));
        assert!(verdict(&[tell("hello")]).unwrap_err().contains("never written"));
    }
}
