//! A virus scanner: clamd, which gets the bytes over TCP.

use std::time::Duration;

use bytes::Bytes;
use clamav_client::tokio::{Tcp, scan_stream};
use futures::Stream;

/// How long one file may take.
const WITHIN: Duration = Duration::from_secs(120);

/// What the scanner says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing was found.
    Clean,
    /// This was.
    Infected(String),
    /// It will not look at this file, and says why.
    Refused(String),
}

/// Lets the scanner look at bytes.
pub(crate) async fn scan(address: &str, bytes: impl Stream<Item = std::io::Result<Bytes>>) -> anyhow::Result<Verdict> {
    let answer = tokio::time::timeout(WITHIN, scan_stream(bytes, Tcp { host_address: address }, None)).await??;
    verdict(&String::from_utf8_lossy(&answer))
}

/// `stream: OK`, `stream: NAME FOUND`, or `REASON ERROR`.
fn verdict(answer: &str) -> anyhow::Result<Verdict> {
    let answer = answer.trim_matches(|letter: char| letter == '\0' || letter.is_whitespace());
    let said = answer.strip_prefix("stream: ").unwrap_or(answer);
    if said == "OK" {
        return Ok(Verdict::Clean);
    }
    if let Some(name) = said.strip_suffix(" FOUND") {
        return Ok(Verdict::Infected(name.chars().take(100).collect()));
    }
    if let Some(why) = said.strip_suffix(" ERROR") {
        return Ok(Verdict::Refused(why.chars().take(100).collect()));
    }
    anyhow::bail!("the virus scanner said {said:.100?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scanner_is_understood() {
        assert_eq!(verdict("stream: OK\0").unwrap(), Verdict::Clean);
        assert_eq!(verdict("stream: Eicar-Test FOUND\0").unwrap(), Verdict::Infected("Eicar-Test".into()));
        let refused = verdict("INSTREAM size limit exceeded. ERROR\0").unwrap();
        assert_eq!(refused, Verdict::Refused("INSTREAM size limit exceeded.".into()));
        assert!(verdict("").is_err(), "an answer that breaks off is no answer");
    }
}
