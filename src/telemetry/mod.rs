//! What the process tells of itself: logs, health, metrics.

mod health;
mod metrics;
mod process;
mod samples;
mod server;

use std::io::IsTerminal;

pub use health::{Check, Health, Pulse, Report};
pub use metrics::Metrics;
pub use samples::{Engines, Objects, Sample, Sites};
pub use server::{ListenError, Server};

use tracing_subscriber::{EnvFilter, fmt};

/// What the parts of the process say of themselves, passed down to each. Clones are the same.
#[derive(Clone, Default)]
pub struct Telemetry {
    /// Whether it works.
    pub health: Health,
    /// What it did.
    pub metrics: Metrics,
}

/// How logs are written.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// What is logged: a level, or levels by module (`info,cloudfaster=debug`).
    #[arg(long, env = "CLOUDFASTER_LOG", global = true)]
    pub log: Option<String>,
    /// One JSON object a line.
    #[arg(long, env = "CLOUDFASTER_LOG_JSON", global = true)]
    pub log_json: bool,
}

/// The filter cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("--log: {0}")]
pub struct InvalidFilter(#[from] tracing_subscriber::filter::ParseError);

/// What is logged where nobody says otherwise: the runtime's own account of each reconcile would say it twice.
pub const NORMAL: &str = "info,kube_runtime::controller=error";
/// What is logged where the terminal shows something else.
pub const QUIET: &str = "warn,kube_runtime::controller=error";

/// What is never logged in more detail than this, whoever asks: these libraries write whole requests and answers, with the
/// environment of containers and with credentials in them.
const RETICENT: [&str; 2] = ["bollard=info", "russh=info"];

/// Begins to write logs to the standard error output; `level` is what is logged if the settings do not say.
///
/// # Errors
/// When the filter cannot be read.
pub fn start(settings: &Settings, level: &str) -> Result<(), InvalidFilter> {
    let mut filter = EnvFilter::builder().parse(settings.log.as_deref().unwrap_or(level))?;
    for directive in RETICENT {
        filter = filter.add_directive(directive.parse()?);
    }
    let logs = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    if settings.log_json {
        logs.json().init()
    } else {
        logs.init()
    }
    Ok(())
}
