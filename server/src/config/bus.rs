//! The section `bus`: where events between services go, and how what fails is tried again.

use std::time::Duration;

use mesh::{
    bus::{QueueType, RetryPolicy},
    config::ConfigError,
};
use serde::{Deserialize, Serialize};

/// The section `bus`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BusConfig {
    /// `memory:` (the default): within one process, with its queues in worker-svc's database.
    /// `amqp://USER:PASSWORD@HOST:PORT/VHOST`: over RabbitMQ 3.10 or newer.
    pub url: String,
    /// This process brings events to the bus (the default). Off, with `memory:` only: for a further process with `--role chat` on
    /// the PostgreSQL database of another one, which brings its events there as well.
    pub relay: bool,
    /// How queues are made on a broker: `quorum` (the default) or `classic`. Those that are there are taken as they are.
    pub queue_type: QueueType,
    /// Publishes five events beside our own, for programs that know those of `Domain.Events`. Default false.
    pub compat: bool,
    /// What failed, also at once three times more, is tried again after so many seconds, and then after the next: 1 to 5 numbers of 1
    /// to 86,400. Default `[5, 60, 900]`. The same for all processes.
    pub retry_seconds: Vec<u64>,
}

/// How often what failed may be put off.
const MOST_RETRIES: usize = 5;
/// And for how long at most: a day.
const LONGEST_RETRY: u64 = 86_400;

impl BusConfig {
    /// How what failed is tried again.
    pub fn retry(&self) -> RetryPolicy {
        RetryPolicy::after(self.retry_seconds.iter().copied().map(Duration::from_secs).collect())
    }

    pub(super) fn check_retries(&self) -> Result<(), ConfigError> {
        let good = (1..=MOST_RETRIES).contains(&self.retry_seconds.len())
            && self.retry_seconds.iter().all(|seconds| (1..=LONGEST_RETRY).contains(seconds));
        if good {
            return Ok(());
        }
        Err(ConfigError(format!(
            "bus.retry_seconds: {:?} must be 1 to {MOST_RETRIES} numbers of 1 to {LONGEST_RETRY}, such as [5, 60, 900]",
            self.retry_seconds
        )))
    }

    /// Within one process.
    pub fn is_memory(&self) -> bool {
        self.url == "memory:"
    }
}

impl Default for BusConfig {
    fn default() -> Self {
        Self {
            url: "memory:".into(),
            relay: true,
            queue_type: QueueType::default(),
            compat: false,
            retry_seconds: vec![5, 60, 900],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, all_roles};

    #[test]
    fn retries_are_a_few_and_of_bearable_length() {
        let with = |seconds: &[u64]| {
            let mut config = Config::default().complete();
            config.bus.retry_seconds = seconds.to_vec();
            config.check(&all_roles())
        };
        assert_eq!(BusConfig::default().retry(), RetryPolicy::default());
        for good in [&[5, 60, 900][..], &[1], &[86_400; 5]] {
            with(good).unwrap();
        }
        for bad in [&[][..], &[0], &[5, 86_401], &[1; 6]] {
            let refused = with(bad).unwrap_err().to_string();
            assert!(refused.contains("bus.retry_seconds"), "{refused}");
        }
    }
}
