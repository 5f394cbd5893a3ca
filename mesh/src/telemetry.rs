//! Logs and metrics: one subscriber and one recorder for the process.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

/// How the process tells what it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TelemetryConfig {
    /// A filter in the syntax of `tracing_subscriber::EnvFilter`, such as `info,chat_svc=debug`.
    pub log: String,
    /// `text` or `json`.
    pub format: LogFormat,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self { log: "info,sea_orm_migration=warn".into(), format: LogFormat::Text }
    }
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging to standard error. A second call in one process changes nothing, so that tests may start several servers.
///
/// # Errors
/// When the filter cannot be understood.
pub fn start_logs(config: &TelemetryConfig) -> Result<(), String> {
    let filter = EnvFilter::try_new(&config.log).map_err(|cause| format!("telemetry.log: {cause}"))?;
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr);
    // An error only says that another subscriber is already in place.
    let _ = match config.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    Ok(())
}

/// Starts counting, and hands out what renders the counters in Prometheus' text format. One recorder a process.
pub fn start_metrics() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let recorder = PrometheusBuilder::new().build_recorder();
            let handle = recorder.handle();
            // An error only says that another recorder is already in place.
            let _ = metrics::set_global_recorder(recorder);
            handle
        })
        .clone()
}
