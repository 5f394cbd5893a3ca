//! One round of handling a message, and what is left to do with it then: the same on every bus.

use std::{future::Future, panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt as _;

use super::{Delivery, Envelope, HandlerError, QueueSpec};

/// What is left to do with a message that was handled.
#[derive(Debug)]
pub(super) enum Verdict {
    Done,
    Later { after: Duration, error: String },
    Failed { error: String },
    Skipped,
}

/// A verdict and how often it was tried for it.
pub(super) struct Outcome {
    pub(super) verdict: Verdict,
    pub(super) tries: u32,
}

impl Outcome {
    /// How many of the tries failed.
    pub(super) fn failures(&self) -> u32 {
        self.tries - u32::from(matches!(self.verdict, Verdict::Done) && self.tries > 0)
    }

    /// For metrics.
    pub(super) fn name(&self) -> &'static str {
        match self.verdict {
            Verdict::Done => "done",
            Verdict::Later { .. } => "later",
            Verdict::Failed { .. } => "failed",
            Verdict::Skipped => "skipped",
        }
    }
}

/// One round with what came: the handler once, and again at once as often as the policy says. What is no envelope fails, what the
/// consumer does not understand is skipped.
pub(super) async fn round<H, F>(
    queue: &QueueSpec,
    read: &Result<Envelope, serde_json::Error>,
    redelivery: u32,
    handler: &H,
) -> Outcome
where
    H: Fn(Delivery) -> F + Send + Sync,
    F: Future<Output = Result<(), HandlerError>> + Send,
{
    let envelope = match read {
        Ok(envelope) if queue.takes(envelope) => envelope,
        Ok(_) => return Outcome { verdict: Verdict::Skipped, tries: 0 },
        Err(cause) => {
            return Outcome { verdict: Verdict::Failed { error: format!("not an envelope: {cause}") }, tries: 1 };
        }
    };
    let retry = queue.policy();
    let mut error = String::new();
    let last = retry.delays.len() <= redelivery as usize;
    for tries in 1..=retry.immediate + 1 {
        let delivery = Delivery { envelope: envelope.clone(), redelivery, last };
        match AssertUnwindSafe(async { handler(delivery).await }).catch_unwind().await {
            Ok(Ok(())) => return Outcome { verdict: Verdict::Done, tries },
            Ok(Err(HandlerError::Poison(cause))) => {
                return Outcome { verdict: Verdict::Failed { error: format!("{cause:#}") }, tries };
            }
            Ok(Err(HandlerError::Retry(cause))) => error = format!("{cause:#}"),
            Err(_) => "the handler panicked".clone_into(&mut error),
        }
    }
    let verdict = match retry.delays.get(redelivery as usize) {
        Some(after) => Verdict::Later { after: *after, error },
        None => Verdict::Failed { error },
    };
    Outcome { verdict, tries: retry.immediate + 1 }
}
