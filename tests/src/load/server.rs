//! What the kernel tells of server processes.

use std::{fs, time::Duration};

/// Ticks of `/proc/PID/stat` in a second, which is 100 on every Linux that runs servers.
const TICKS: f64 = 100.0;

/// CPU time of processes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    /// Seconds, counted in nanoseconds.
    pub total: f64,
    /// Seconds in the kernel, and in both, counted in ticks: only their ratio is good for something.
    system: f64,
    both: f64,
}

impl Cpu {
    /// What these processes have used so far.
    pub fn of(pids: &[u32]) -> Self {
        pids.iter().map(|pid| Self::one(*pid)).fold(Self::default(), |sum, one| Self {
            total: sum.total + one.total,
            system: sum.system + one.system,
            both: sum.both + one.both,
        })
    }

    /// Nothing for a process that has just ended.
    fn one(pid: u32) -> Self {
        let stat = stat(pid);
        let seconds = |place| field::<f64>(&stat, place).unwrap_or(0.0) / TICKS;
        let (user, system) = (seconds(11), seconds(12));
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let nanos = tasks.filter_map(|task| {
            let line = fs::read_to_string(task.path().join("schedstat")).ok()?;
            line.split_whitespace().next()?.parse::<f64>().ok()
        });
        Self { total: nanos.sum::<f64>() / 1e9, system, both: user + system }
    }

    /// What was used since.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self { total: self.total - before.total, system: self.system - before.system, both: self.both - before.both }
    }

    /// The part of it that was the kernel's.
    pub fn kernel_share(self) -> f64 {
        if self.both > 0.0 { self.system / self.both } else { 0.0 }
    }

    /// Cores in use over a time.
    pub fn cores(self, over: Duration) -> f64 {
        self.total / over.as_secs_f64()
    }
}

/// The processes that a process has started, as far as they live.
pub fn children(pid: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let all = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    all.filter(|other| field::<u32>(&stat(*other), 1) == Some(pid)).collect()
}

/// What `/proc/PID/stat` says after the name, which stands in brackets and may hold spaces; nothing when the process is gone.
fn stat(pid: u32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').map(|(_, fields)| fields.to_owned()).unwrap_or_default()
}

fn field<T: std::str::FromStr>(stat: &str, place: usize) -> Option<T> {
    stat.split_whitespace().nth(place)?.parse().ok()
}

/// Memory of processes in KiB, shared pages counted in part (PSS).
///
/// # Panics
/// When one of them is gone.
pub fn pss_kib(pids: &[u32]) -> f64 {
    let one = |pid: &u32| {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("the process runs");
        let line = rollup.lines().find(|line| line.starts_with("Pss:")).expect("the kernel tells");
        line.split_whitespace().nth(1).and_then(|number| number.parse::<f64>().ok()).expect("a number")
    };
    pids.iter().map(one).sum()
}

/// A field of `/proc/PID/status` in MiB, such as `VmRSS` for what is in memory and `VmHWM` for the most that ever was.
///
/// # Panics
/// When the process is gone.
pub fn status_mib(pid: u32, name: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).expect("the kernel tells");
    line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).expect("a number") / 1024.0
}
