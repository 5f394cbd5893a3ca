//! The process that looks at one file, and all that it may do.

use std::{
    io::{self, BufRead as _, Read, Seek, SeekFrom, Write},
    process::ExitCode,
};

use rlimit::Resource;

use super::wire::{Job, MAX_READ, Said};
use crate::look::{self, Picture, Results};

/// Bytes of memory that it may write to.
const MEMORY: u64 = 384 * 1024 * 1024;
/// Seconds of a processor.
const SECONDS: u64 = 20;

/// Looks at the file that standard input offers, and says on standard output what it is. The whole life of the process.
pub fn run() -> ExitCode {
    let outcome = limit().map_err(anyhow::Error::from).and_then(|()| look());
    let last = outcome.unwrap_or_else(|cause| Said::Failed { why: cause.to_string() });
    if say(&last, &[]).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// No more files, processes or core dumps; memory and time within bounds. For good: a limit is not raised again.
fn limit() -> io::Result<()> {
    for (resource, most) in [
        (Resource::DATA, MEMORY),
        (Resource::CPU, SECONDS),
        (Resource::FSIZE, 0),
        (Resource::CORE, 0),
        (Resource::NOFILE, 3),
        (Resource::NPROC, 0),
    ] {
        rlimit::setrlimit(resource, most, most)?;
    }
    Ok(())
}

fn look() -> anyhow::Result<Said> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let job: Job = serde_json::from_str(&line)?;
    let file = Remote { size: job.size, position: 0 };
    let looked = look::look(&job.content_type, job.size, file, &mut Teller)?;
    Ok(Said::Done { looked })
}

fn say(said: &Said, bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, said)?;
    out.write_all(b"\n")?;
    out.write_all(bytes)?;
    out.flush()
}

/// Says what comes of looking.
struct Teller;

impl Results for Teller {
    fn picture(&mut self, picture: Picture, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(say(&Said::Picture { picture, length: bytes.len() as u64 }, bytes)?)
    }

    fn cleaned(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        Ok(say(&Said::Cleaned { length: bytes.len() as u64 }, bytes)?)
    }
}

/// The file, which the other process has.
struct Remote {
    size: u64,
    position: u64,
}

impl Read for Remote {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = u32::try_from(buffer.len()).unwrap_or(MAX_READ).min(MAX_READ);
        if length == 0 || self.position >= self.size {
            return Ok(0);
        }
        say(&Said::Read { offset: self.position, length }, &[])?;
        let mut from = io::stdin().lock();
        let mut number = [0; 4];
        from.read_exact(&mut number)?;
        let length = usize::try_from(u32::from_be_bytes(number)).unwrap_or(usize::MAX);
        let wanted = buffer.get_mut(..length).ok_or(io::ErrorKind::InvalidData)?;
        from.read_exact(wanted)?;
        self.position += length as u64;
        Ok(length)
    }
}

impl Seek for Remote {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
