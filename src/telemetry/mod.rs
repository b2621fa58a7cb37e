//! Logs. Metrics and health come with the manifests.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt};

/// How logs are written.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// What is logged: a level, or levels by module (`info,cloudfaster=debug`).
    #[arg(long, env = "CLOUDFASTER_LOG", default_value = "info,kube_runtime::controller=warn", global = true)]
    pub log: String,
    /// One JSON object a line.
    #[arg(long, env = "CLOUDFASTER_LOG_JSON", global = true)]
    pub log_json: bool,
}

/// The filter cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("--log: {0}")]
pub struct InvalidFilter(#[from] tracing_subscriber::filter::ParseError);

/// Begins to write logs to the standard error output.
///
/// # Errors
/// When the filter cannot be read.
pub fn start(settings: &Settings) -> Result<(), InvalidFilter> {
    let filter = EnvFilter::builder().parse(&settings.log)?;
    let logs = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    if settings.log_json {
        logs.json().init()
    } else {
        logs.init()
    }
    Ok(())
}
