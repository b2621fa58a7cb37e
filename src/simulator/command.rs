//! `cloudfaster simulate-proxmox`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::clock::ClockMode;
use super::scenario::{Release, Scenario};
use super::server::Options;
use super::{Error, Simulator};

/// Run a simulated Proxmox VE cluster.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8006")]
    pub listen: SocketAddr,
    /// A scenario in YAML; without one the demo's cluster of sv1 to sv5.
    #[arg(long)]
    pub scenario: Option<PathBuf>,
    /// How many times as fast as outside the cluster's time passes.
    #[arg(long)]
    pub time_scale: Option<f64>,
    /// Which Proxmox VE release answers: 8.4 or 9.2.
    #[arg(long)]
    pub release: Option<Release>,
    /// Offer the unguarded control endpoint below /simulator.
    #[arg(long)]
    pub control: bool,
    /// Where to write the certificate of the authority, in PEM.
    #[arg(long)]
    pub ca_file: Option<PathBuf>,
    /// Where to write the certificate's SHA-256 fingerprint.
    #[arg(long)]
    pub fingerprint_file: Option<PathBuf>,
}

/// Serves until it is told to stop.
///
/// # Errors
/// When the scenario cannot be read, the address cannot be listened on, or a file cannot be written.
pub async fn run(args: Args, shutdown: CancellationToken) -> Result<(), Error> {
    let mut scenario = match &args.scenario {
        Some(path) => read(path)?,
        None => Scenario::demo(),
    };
    if let Some(release) = args.release {
        scenario.release = release;
    }
    if let Some(scale) = args.time_scale {
        scenario.clock = ClockMode::Scaled(scale);
    }
    let token = scenario.tokens.first().map(|token| format!("{}={}", token.id, token.secret));
    let simulator = Simulator::new(scenario);
    let server = simulator.listen(args.listen, Options { node: None, control: args.control }).await?;
    if let Some(path) = &args.ca_file {
        write(path, server.ca_pem())?;
    }
    if let Some(path) = &args.fingerprint_file {
        write(path, &format!("{}\n", server.fingerprint()))?;
    }
    println!("Simulated Proxmox VE: {}", server.url());
    println!("Fingerprint (SHA-256): {}", server.fingerprint());
    if let Some(token) = token {
        println!("API token: {token}");
    }
    shutdown.cancelled().await;
    server.shutdown().await;
    Ok(())
}

fn read(path: &Path) -> Result<Scenario, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::Io { what: format!("cannot read {}", path.display()), source })?;
    Scenario::from_yaml(&text).map_err(|message| Error::Scenario { path: path.display().to_string(), message })
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(|source| Error::Io { what: format!("cannot write {}", path.display()), source })
}
