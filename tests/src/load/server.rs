//! What the kernel tells of server processes.

use std::time::Duration;

/// One second of `/proc/PID/stat`, which is 100 on every Linux that runs servers.
const TICKS: f64 = 100.0;

/// CPU time of processes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu {
    /// Seconds in their own code.
    pub user: f64,
    /// Seconds in the kernel for them.
    pub system: f64,
}

impl Cpu {
    /// What these processes have used so far.
    ///
    /// # Panics
    /// When one of them is gone.
    pub fn of(pids: &[u32]) -> Self {
        pids.iter()
            .map(|pid| Self::one(*pid))
            .fold(Self::default(), |sum, one| Self { user: sum.user + one.user, system: sum.system + one.system })
    }

    fn one(pid: u32) -> Self {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
        // The second field is the name in brackets, which may hold spaces.
        let (_, fields) = stat.rsplit_once(')').expect("a line of stat");
        let field = |place: usize| fields.split_whitespace().nth(place).and_then(|text| text.parse::<f64>().ok());
        Self { user: field(11).unwrap_or(0.0) / TICKS, system: field(12).unwrap_or(0.0) / TICKS }
    }

    /// What was used since.
    pub fn since(self, before: Self) -> Self {
        Self { user: self.user - before.user, system: self.system - before.system }
    }

    /// Both.
    pub fn total(self) -> f64 {
        self.user + self.system
    }

    /// Cores in use over a time.
    pub fn cores(self, over: Duration) -> f64 {
        self.total() / over.as_secs_f64()
    }
}

/// Memory of processes in KiB, shared pages counted in part (PSS).
///
/// # Panics
/// When one of them is gone.
pub fn pss_kib(pids: &[u32]) -> f64 {
    let one = |pid: &u32| {
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("the process runs");
        let line = rollup.lines().find(|line| line.starts_with("Pss:")).expect("the kernel tells");
        line.split_whitespace().nth(1).and_then(|number| number.parse::<f64>().ok()).expect("a number")
    };
    pids.iter().map(one).sum()
}
