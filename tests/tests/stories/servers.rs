//! The servers that other tests stand on: they are what they say, break as asked, and leave nothing behind.

use std::{path::PathBuf, process::Command, time::Duration};

use tests::{
    servers::{Postgres, Redis, assert_durable, fresh_database, fresh_redis},
    within,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

fn psql(url: &str, statement: &str) -> Result<String, String> {
    let output = Command::new("psql").args(["-XAtqwc", statement, url]).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if output.status.success() { Ok(out.trim().to_owned()) } else { Err(err.into_owned()) }
}

async fn redis_says(stream: &mut TcpStream, command: &str) -> std::io::Result<String> {
    stream.write_all(format!("{command}\r\n").as_bytes()).await?;
    let mut answer = vec![0; 1024];
    let length = stream.read(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer[..length]).trim().to_owned())
}

fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[tokio::test]
async fn databases_are_durable_and_apart() {
    let (one, two) = tokio::join!(fresh_database("one"), fresh_database("two"));
    assert_durable(&one).await;
    psql(&one, "CREATE TABLE t (n int)").unwrap();
    assert!(psql(&two, "SELECT * FROM t").unwrap_err().contains("does not exist"));
}

#[tokio::test]
async fn what_was_committed_survives_the_kill_of_postgres() {
    let mut postgres = Postgres::start().await;
    let url = postgres.fresh_database("kept").await;
    psql(&url, "CREATE TABLE t (n int); INSERT INTO t VALUES (7)").unwrap();
    let before = postgres.pid();
    postgres.kill();
    assert!(!lives(before));
    assert!(psql(&url, "SELECT 1").is_err());
    postgres.restart().await;
    assert_ne!(postgres.pid(), before);
    assert_eq!(psql(&url, "SELECT n FROM t").unwrap(), "7", "on the same port");
    assert_durable(&url).await;
}

#[tokio::test]
async fn a_frozen_postgres_answers_when_it_goes_on() {
    let postgres = Postgres::start().await;
    let url = postgres.url();
    postgres.stop();
    let asked = url.clone();
    let mut asking = tokio::task::spawn_blocking(move || psql(&asked, "SELECT 1"));
    assert!(tokio::time::timeout(Duration::from_millis(500), &mut asking).await.is_err(), "nothing answers");
    postgres.cont();
    assert_eq!(within("the answer comes", asking).await.unwrap().unwrap(), "1");
}

#[tokio::test]
async fn redis_breaks_and_comes_back_empty() {
    let mut redis = Redis::start().await;
    let address = redis.url().strip_prefix("redis://").unwrap().to_owned();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    assert_eq!(redis_says(&mut stream, "SET a 1").await.unwrap(), "+OK");
    redis.stop();
    let silent = tokio::time::timeout(Duration::from_millis(300), redis_says(&mut stream, "GET a")).await;
    assert!(silent.is_err(), "nothing answers");
    redis.cont();
    let mut answer = [0; 7];
    within("the answer comes", stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"$1\r\n1\r\n");
    redis.kill();
    assert!(TcpStream::connect(&address).await.is_err());
    redis.restart().await;
    let mut stream = TcpStream::connect(&address).await.unwrap();
    assert_eq!(redis_says(&mut stream, "GET a").await.unwrap(), "$-1");
}

#[tokio::test]
async fn callers_of_the_shared_redis_are_apart() {
    let (one, two) = (fresh_redis().await, fresh_redis().await);
    assert_ne!(one, two);
    assert_eq!(one.split_once("?prefix=").unwrap().0, two.split_once("?prefix=").unwrap().0, "it is one server");
}

#[tokio::test]
async fn dropping_ends_processes_and_removes_folders() {
    let (postgres, redis) = tokio::join!(Postgres::start(), Redis::start());
    let pids = [postgres.pid(), redis.pid()];
    let folders = pids.map(|pid| std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap());
    assert!(folders.iter().all(|folder| folder.is_dir()) && pids.iter().all(|pid| lives(*pid)));
    drop((postgres, redis));
    assert!(!pids.iter().any(|pid| lives(*pid)));
    assert!(!folders.iter().any(|folder| folder.exists()));
}

/// Run by the next test in a process of its own, which it kills.
#[tokio::test]
#[ignore = "the child process of servers_do_not_outlive_a_killed_test"]
async fn child_that_is_killed() {
    use std::io::Write as _;
    let (postgres, redis) = tokio::join!(Postgres::start(), Redis::start());
    let mut out = std::io::stdout();
    writeln!(out, "\npids {} {}", postgres.pid(), redis.pid()).unwrap();
    out.flush().unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn servers_do_not_outlive_a_killed_test() {
    use std::io::BufRead as _;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "servers::child_that_is_killed", "--ignored", "--nocapture"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.map(Result::unwrap).find(|line| line.starts_with("pids ")).unwrap();
    let pids: Vec<u32> = line.split(' ').skip(1).map(|pid| pid.parse().unwrap()).collect();
    let folders: Vec<PathBuf> =
        pids.iter().map(|pid| std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap()).collect();
    assert!(pids.len() == 2 && pids.iter().all(|pid| lives(*pid)));
    child.kill().unwrap();
    child.wait().unwrap();
    within("the servers end and their folders go", async {
        while pids.iter().any(|pid| lives(*pid)) || folders.iter().any(|folder| folder.exists()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
