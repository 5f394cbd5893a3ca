//! A server process that never outlives the test, however the test ends.
//!
//! Statics are not dropped and a killed test drops nothing, so a small shell holds the server: when its input closes, because
//! the test let go or is gone, it ends the server by process id and removes its folder.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::DEADLINE;

/// Argument 1 is the folder, 2 the signal that ends the server at once and in order, the rest its command line.
///
/// PostgreSQL is asked to end its own children, because whoever inherits them may not wait for them (a container's first
/// process often does not). `kill -9` follows in any case.
const SHELL: &str = r#"
folder=$1 ending=$2
shift 2
"$@" </dev/null >&2 &
pid=$!
echo "$pid"
read -r word
children=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null)
if [ "$word" != keep ]; then
  kill -CONT $children "$pid" 2>/dev/null
  kill -s "$ending" "$pid" 2>/dev/null
  tries=0
  while [ $tries -lt 250 ] && grep -qs '^State:.[^Z]' "/proc/$pid/status"; do
    tries=$((tries + 1))
    sleep 0.02
  done
fi
kill -9 "$pid" $children 2>/dev/null
wait
[ "$word" = keep ] || rm -rf -- "$folder" || { sleep 1; rm -rf -- "$folder"; }
"#;

/// A running server process and the shell that holds it.
pub(super) struct Guard {
    shell: Child,
    pid: u32,
}

impl Guard {
    /// Starts a server that keeps what it has in `folder` and its output in `folder/log`; `ending` is the signal for its end.
    pub(super) fn start(server: &Command, folder: &Path, ending: &str) -> Self {
        let log = File::options().create(true).append(true).open(folder.join("log")).expect("a log for the server");
        let mut shell = Command::new("sh")
            .args(["-c", SHELL, "sh"])
            .arg(folder)
            .arg(ending)
            .arg(server.get_program())
            .args(server.get_args())
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // Ctrl-C ends the test; the shell must live a moment longer to end the server.
            .process_group(0)
            .spawn()
            .expect("sh starts");
        let mut line = String::new();
        let stdout = shell.stdout.as_mut().expect("the shell's output is a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("the shell tells the server's process id");
        let pid = line.trim().parse().expect("a process id");
        Self { shell, pid }
    }

    /// Waits until the server is ready. One that ends, or is not ready in time, is killed, and what it said is the error.
    pub(super) fn until(self, folder: &Path, within: Duration, ready: impl Fn(u32) -> bool) -> Result<Self, String> {
        let mut guard = self;
        let started = Instant::now();
        while !ready(guard.pid) {
            if guard.ended() || started.elapsed() > within {
                let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
                guard.kill();
                return Err(log);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(guard)
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether the server has ended.
    pub(super) fn ended(&self) -> bool {
        state(self.pid).is_none_or(|state| state == 'Z')
    }

    /// Ends the server and its children with `kill -9` and keeps its folder.
    pub(super) fn kill(&mut self) {
        let children = self.children();
        if let Some(stdin) = &mut self.shell.stdin {
            // An error says that the shell has ended, and then the server has too.
            let _ = stdin.write_all(b"keep\n");
        }
        self.release();
        // Children that another process inherits end a moment later; whoever starts again must not meet them.
        let started = Instant::now();
        while children.iter().any(|pid| state(*pid).is_some_and(|state| state != 'Z')) {
            assert!(started.elapsed() < DEADLINE, "children of {} live on after kill -9: {children:?}", self.pid);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Freezes the server with its children: connections stay open and nothing answers.
    pub(super) fn stop(&self) {
        // The server first: it must not make another child meanwhile.
        signal("STOP", &[self.pid]);
        signal("STOP", &self.children());
        let all: Vec<u32> = [self.pid].into_iter().chain(self.children()).collect();
        let started = Instant::now();
        while all.iter().any(|pid| state(*pid).is_some_and(|state| !matches!(state, 'T' | 'Z'))) {
            assert!(started.elapsed() < DEADLINE, "{all:?} are not stopped");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets a frozen server go on.
    pub(super) fn cont(&self) {
        signal("CONT", &self.children());
        signal("CONT", &[self.pid]);
    }

    fn children(&self) -> Vec<u32> {
        let file = format!("/proc/{0}/task/{0}/children", self.pid);
        let children = std::fs::read_to_string(file).unwrap_or_default();
        children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    }

    fn release(&mut self) {
        drop(self.shell.stdin.take());
        // An error says that it was waited for already.
        let _ = self.shell.wait();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.release();
    }
}

/// The state letter of a process: `T` is stopped, `Z` has ended and was not waited for.
pub(crate) fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it is in parentheses and may contain anything.
    stat.rsplit_once(") ")?.1.chars().next()
}

/// A signal by process id. One that has ended meanwhile is not an error.
pub(crate) fn signal(name: &str, pids: &[u32]) {
    for pid in pids {
        let _ = Command::new("sh").args(["-c", r#"kill -s "$0" "$1" 2>/dev/null"#, name, &pid.to_string()]).status();
    }
}
