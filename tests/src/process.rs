//! The real binary as a process, for tests that kill it.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use crate::{person::SETUP_TOKEN, servers, within};

/// A running `loquat serve`. Killed when it is dropped.
pub struct Process {
    child: Child,
    /// Where its public port listens.
    pub public: SocketAddr,
    /// Where its ops port listens.
    pub ops: SocketAddr,
}

impl Process {
    /// Starts all roles on a folder, and waits until they are ready.
    ///
    /// # Panics
    /// When they do not become ready.
    pub async fn start(folder: &Path, environment: &[(&str, String)]) -> Self {
        Self::start_binary(&binary(), folder, environment).await
    }

    /// The same with another build of the server.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn start_binary(binary: &Path, folder: &Path, environment: &[(&str, String)]) -> Self {
        let public = free_address();
        let environment: Vec<(&str, String)> = environment
            .iter()
            .map(|(name, value)| (*name, value.clone()))
            .chain([("LOQUAT_GATEWAY__LISTEN", public.to_string())])
            .collect();
        Self::start_roles(binary, folder, &[], &environment, public).await
    }

    /// Starts some roles, and waits until `public` answers.
    ///
    /// # Panics
    /// When it does not.
    pub async fn start_roles(
        binary: &Path,
        folder: &Path,
        roles: &[&str],
        environment: &[(&str, String)],
        public: SocketAddr,
    ) -> Self {
        let ops = free_address();
        // With the gateway apart, nobody becomes the owner without it.
        let apart = roles.contains(&"auth") && !roles.contains(&"gateway");
        let child = Command::new(std::path::absolute(binary).expect("a path"))
            .arg("serve")
            .args(roles.iter().flat_map(|role| ["--role", role]))
            .current_dir(folder)
            .env("LOQUAT_DATA_DIR", folder)
            .env("LOQUAT_OPS__LISTEN", ops.to_string())
            .envs(apart.then_some(("LOQUAT_AUTH__SETUP_TOKEN", SETUP_TOKEN)))
            .envs(environment.iter().map(|(name, value)| (*name, value.as_str())))
            .stdout(Stdio::null())
            .stdin(Stdio::null())
            .spawn()
            .expect("the binary starts; build it with `cargo build` first");
        let process = Self { child, public, ops };
        within("the server is ready", process.ready()).await;
        process
    }

    async fn ready(&self) {
        while tokio::net::TcpStream::connect(self.public).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Freezes it (`SIGSTOP`): connections stay open, nothing answers. Returns when it stands still.
    pub async fn freezes(&self) {
        servers::signal("STOP", &[self.id()]);
        let still = async {
            while servers::state(self.id()).is_some_and(|state| !matches!(state, 'T' | 'Z')) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        within("the process stands still", still).await;
    }

    /// Lets it go on after [`Process::freezes`].
    pub fn thaws(&self) {
        servers::signal("CONT", &[self.id()]);
    }

    /// Whether it has not ended.
    pub fn runs(&self) -> bool {
        servers::state(self.id()).is_some_and(|state| state != 'Z')
    }

    /// Asks it to stop, as an update does: SIGTERM.
    ///
    /// # Panics
    /// When it cannot be asked.
    pub fn terminate(&self) {
        let sent = Command::new("kill").args(["-TERM", &self.id().to_string()]).status().expect("kill is there");
        assert!(sent.success(), "the process is there");
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// When it does not, or cannot be waited for.
    pub async fn exits(&mut self) -> ExitStatus {
        let ending = async {
            loop {
                if let Some(status) = self.child.try_wait().expect("the process can be waited for") {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        within("the process ends", ending).await
    }

    /// A number that it tells on its ops port; 0 when it does not tell it.
    ///
    /// # Panics
    /// When the port does not answer.
    pub async fn metric(&self, name: &str) -> f64 {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(self.ops).await.expect("the ops port answers");
        let request = b"GET /metrics HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.expect("the ops port listens");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("the ops port answers in text");
        let value = answer.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or(0.0)
    }

    /// The memory that it has in use, in bytes.
    ///
    /// # Panics
    /// When the system does not tell.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("the process is there");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the system tells");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    /// Ends it as a power cut would: `kill -9`.
    ///
    /// # Panics
    /// When it cannot be waited for.
    pub fn kill(mut self) {
        self.child.kill().expect("the process can be killed");
        self.child.wait().expect("the process can be waited for");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error says that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `loquat` beside the programs of the harness in `target/PROFILE`; tests are one folder further down, in `deps`.
///
/// # Panics
/// When it was not built.
pub fn binary() -> PathBuf {
    let program = std::env::current_exe().expect("a program knows its own path");
    let folders = program.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join("loquat")).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("loquat is not beside {}: run `cargo build --workspace` first", program.display()))
}

/// An address that is free now. Another program could take it before the server does; then the test fails by name.
///
/// # Panics
/// When loopback has no free port.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a bound listener has an address")
}
