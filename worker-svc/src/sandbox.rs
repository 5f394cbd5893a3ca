//! Looks at files in a process of its own, with little memory, little time and nothing to open: whatever a file does to its
//! decoder ends there. The process gets the bytes that it asks for from here, and gives pictures and facts back.

mod child;
mod wire;

use std::{path::PathBuf, process::Stdio, sync::Arc, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use futures::{Stream, TryStreamExt as _};
use mesh::blobs::{BlobError, Blobs};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::Semaphore,
};
use tokio_util::io::ReaderStream;

pub use self::child::run as look_at_file;
use self::wire::{Job, Said};
use crate::look::{Looked, Picture};

/// The hidden subcommand under which the program looks at a file.
pub const SUBCOMMAND: &str = "look-at-file";
/// How long it may take.
const WITHIN: Duration = Duration::from_secs(30);
/// Files that are looked at in one moment, so that memory stays bounded.
const AT_ONCE: usize = 2;
/// The longest line that the process may say.
const MAX_LINE: u64 = 256 * 1024;
/// The largest smaller picture.
const MAX_PICTURE: u64 = 16 * 1024 * 1024;

/// A file in the store.
pub(crate) struct Subject<'a> {
    pub(crate) key: &'a str,
    pub(crate) size: u64,
    pub(crate) content_type: &'a str,
}

/// What came of looking, as it comes.
pub(crate) trait Take {
    /// A smaller picture was made.
    async fn picture(&mut self, picture: Picture, bytes: Bytes) -> anyhow::Result<()>;
    /// Something private was taken out of the file: this is what it is now.
    async fn cleaned<S>(&mut self, size: u64, bytes: S) -> anyhow::Result<()>
    where
        S: Stream<Item = std::io::Result<Bytes>> + Send;
}

/// Why nothing came of looking.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookError {
    /// It is the file's fault: again would be the same.
    #[error("{0}")]
    File(String),
    /// The store or this machine failed: it may be tried again.
    #[error(transparent)]
    Passing(#[from] anyhow::Error),
}

/// Starts the processes. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Sandbox {
    program: Arc<PathBuf>,
    permits: Arc<Semaphore>,
}

impl Sandbox {
    /// `program`: this very program, or another build of it.
    pub(crate) fn new(program: PathBuf) -> Self {
        Self { program: Arc::new(program), permits: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Looks at a file.
    pub(crate) async fn look(
        &self,
        blobs: &Blobs,
        subject: &Subject<'_>,
        take: &mut impl Take,
    ) -> Result<Looked, LookError> {
        let _permit = self.permits.acquire().await.map_err(anyhow::Error::from)?;
        let mut child = self.start()?;
        match tokio::time::timeout(WITHIN, converse(&mut child, blobs, subject, take)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(LookError::File("Looking at it took too long.".into())),
        }
        // The process is killed when it is dropped.
    }

    fn start(&self) -> anyhow::Result<Child> {
        Command::new(self.program.as_path())
            .arg(SUBCOMMAND)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be started", self.program.display()))
    }
}

async fn converse(
    child: &mut Child,
    blobs: &Blobs,
    subject: &Subject<'_>,
    take: &mut impl Take,
) -> Result<Looked, LookError> {
    let (Some(mut to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(anyhow::anyhow!("a process without pipes").into());
    };
    let mut from = BufReader::new(from);
    let job = Job { size: subject.size, content_type: subject.content_type.to_owned() };
    let mut line = serde_json::to_vec(&job).map_err(anyhow::Error::from)?;
    line.push(b'\n');
    if to.write_all(&line).await.is_err() {
        return Err(ended());
    }
    loop {
        match said(&mut from).await.ok_or_else(ended)? {
            Said::Read { offset, length } => answer(&mut to, blobs, subject, offset, length).await?,
            Said::Picture { picture, length } if length <= MAX_PICTURE => {
                let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
                from.read_exact(&mut bytes).await.map_err(|_| ended())?;
                take.picture(picture, bytes.into()).await?;
            }
            Said::Cleaned { length } if length <= subject.size => {
                let bytes = ReaderStream::new((&mut from).take(length));
                take.cleaned(length, bytes).await.map_err(broken_off)?;
            }
            Said::Done { looked } => return Ok(looked),
            Said::Failed { why } => return Err(LookError::File(why.chars().take(200).collect())),
            Said::Picture { .. } | Said::Cleaned { .. } => return Err(ended()),
        }
    }
}

/// It was killed for what it took, or fell over something in the file.
fn ended() -> LookError {
    LookError::File("Looking at it took more memory or time than a file may, or failed.".into())
}

/// A file that breaks off in the middle is that of a process that ended.
fn broken_off(cause: anyhow::Error) -> LookError {
    match cause.downcast_ref::<BlobError>() {
        Some(BlobError::Source(_)) => ended(),
        _ => LookError::Passing(cause),
    }
}

async fn said(from: &mut BufReader<ChildStdout>) -> Option<Said> {
    let mut line = Vec::new();
    from.take(MAX_LINE).read_until(b'\n', &mut line).await.ok()?;
    serde_json::from_slice(&line).ok()
}

/// Sends the bytes that the process asked for, or those of them that there are.
async fn answer(
    to: &mut ChildStdin,
    blobs: &Blobs,
    subject: &Subject<'_>,
    offset: u64,
    length: u32,
) -> Result<(), LookError> {
    let offset = offset.min(subject.size);
    let end = offset.saturating_add(length.min(wire::MAX_READ).into()).min(subject.size);
    let chunks = blobs.get_range(subject.key, offset..end).await.map_err(anyhow::Error::from)?;
    let chunks: Vec<Bytes> = chunks.try_collect().await.map_err(anyhow::Error::from)?;
    let bytes = chunks.concat();
    let length = u32::try_from(bytes.len()).unwrap_or(0).to_be_bytes();
    let sent = async {
        to.write_all(&length).await?;
        to.write_all(&bytes).await
    };
    sent.await.map_err(|_: std::io::Error| ended())
}
