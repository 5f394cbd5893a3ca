//! Mail: sent in the background, a few at a time, tried again for a while, and never waited for by a caller; or waited for by another role,
//! which tries again by its own rules.

use std::{sync::Arc, time::Duration};

use backon::{ExponentialBuilder, Retryable as _};
use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{Mailbox, MessageBuilder, header::ContentType},
};
use mesh::{config::Secret, lifecycle::Tasks};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use uuid::Uuid;

/// How many mails may be on their way; further ones are refused, which is logged.
const UNDER_WAY: usize = 100;
/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it is tried.
const TRIES: usize = 4;

/// The section `auth.mail` of the configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MailConfig {
    /// The SMTP server: `smtps://USER:PASSWORD@HOST` (TLS from the start, port 465), `smtp://…?tls=required` (STARTTLS, port
    /// 587), or `smtp://HOST:PORT` without encryption, for a relay on this machine. Empty (the default): no mail is sent, and
    /// links go to the log for the administrator.
    pub url: Secret,
    /// What mail says it is from, such as `Loquat <chat@example.org>`. Needed when `url` is set.
    pub from: String,
}

/// How long a mail may take that somebody waits for.
const WAITED_FOR: Duration = Duration::from_secs(8);

/// Why a mail was not sent that was waited for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MailError {
    /// It never will be.
    #[error("{0}")]
    ForGood(String),
    /// It may be later.
    #[error("{0}")]
    ForNow(String),
}

/// Sends mail. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Mail(Option<Arc<Sender>>);

struct Sender {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    places: Arc<Semaphore>,
    tasks: Tasks,
}

impl Sender {
    /// A mail of plain text, still without it.
    fn message(&self, to: Mailbox, subject: &str) -> MessageBuilder {
        Message::builder().from(self.from.clone()).to(to).subject(subject).header(ContentType::TEXT_PLAIN)
    }
}

impl Mail {
    /// As it is configured.
    ///
    /// # Errors
    /// When the configuration cannot be understood, naming the key.
    pub(crate) fn open(config: &MailConfig, tasks: Tasks) -> Result<Self, String> {
        if config.url.is_empty() {
            return Ok(Self(None));
        }
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(config.url.reveal())
            .map_err(|cause| format!("auth.mail.url: {cause}"))?
            .timeout(Some(PATIENCE))
            .build();
        let from = config.from.parse().map_err(|cause| format!("auth.mail.from: {:?}: {cause}", config.from))?;
        let places = Arc::new(Semaphore::new(UNDER_WAY));
        Ok(Self(Some(Arc::new(Sender { transport, from, places, tasks }))))
    }

    /// Whether mail can be sent at all.
    pub(crate) const fn is_configured(&self) -> bool {
        self.0.is_some()
    }

    /// Sends a text and waits until the server has it. Sent twice, it has the same id.
    ///
    /// # Errors
    /// When the server does not take it.
    pub(crate) async fn deliver(&self, id: Uuid, to: &str, subject: &str, text: String) -> Result<(), MailError> {
        let for_good = |cause: &dyn std::fmt::Display| MailError::ForGood(cause.to_string());
        let sender = self.0.as_ref().ok_or_else(|| for_good(&"no mail server is configured"))?;
        let to: Mailbox = to.parse().map_err(|cause| for_good(&cause))?;
        let message = sender.message(to, subject);
        let message = message.message_id(Some(format!("<{id}@{}>", sender.from.email.domain())));
        let message = message.body(text).map_err(|cause| for_good(&cause))?;
        match tokio::time::timeout(WAITED_FOR, sender.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(cause)) if cause.is_permanent() => Err(for_good(&cause)),
            Ok(Err(cause)) => Err(MailError::ForNow(cause.to_string())),
            Err(_) => Err(MailError::ForNow("the mail server does not answer".into())),
        }
    }

    /// Sends a text in the background. False when there is no way to send it.
    pub(crate) fn send(&self, to: &str, subject: &str, text: String) -> bool {
        let (Some(sender), Ok(to)) = (self.0.clone(), to.parse::<Mailbox>()) else {
            return false;
        };
        let Ok(place) = sender.places.clone().try_acquire_owned() else {
            tracing::warn!("{UNDER_WAY} mails are on their way already; one more was given up");
            return true;
        };
        let message = match sender.message(to, subject).body(text) {
            Ok(message) => message,
            Err(cause) => {
                tracing::error!(%cause, "a mail could not be put together");
                return true;
            }
        };
        let tasks = sender.tasks.clone();
        tasks.spawn("mail", async move {
            let _place = place;
            let once = || async { sender.transport.send(message.clone()).await };
            let pauses = ExponentialBuilder::default().with_min_delay(Duration::from_secs(1)).with_max_times(TRIES - 1);
            let sent = once.retry(pauses).when(|cause| !cause.is_permanent()).await;
            if let Err(cause) = sent {
                tracing::error!(%cause, "a mail could not be sent");
                metrics::counter!("loquat_auth_mails_failed_total").increment(1);
            }
        });
        true
    }
}
