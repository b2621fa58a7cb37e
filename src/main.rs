//! The command line: parse, install crypto and telemetry, start, wait.

mod demo;

use std::{future::Future, net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use cloudfaster::{
    api, artifacts, controller, docker, rest, simulator,
    standalone::{ControlPlane, PlaneArgs},
    telemetry::{self, Server, Telemetry},
};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Config,
    api::{ObjectMeta, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use mimalloc::MiMalloc;
use tokio_util::sync::CancellationToken;

/// JSON is read and written all the time, in small pieces and by several threads, which this one is made for.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Runs Proxmox VMs and Docker compose services from Kubernetes custom resources.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    telemetry: telemetry::Settings,
}

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one in each process")]
enum Command {
    /// Runs the reconcilers against a Kubernetes cluster.
    Controller {
        #[command(flatten)]
        settings: controller::Settings,
        #[command(flatten)]
        election: controller::Election,
        #[command(flatten)]
        artifacts: artifacts::Settings,
        /// Address for probes (`/livez`, `/readyz`) and for Prometheus (`/metrics`).
        #[arg(long, env = "CLOUDFASTER_HEALTH_LISTEN", value_name = "ADDRESS", default_value = "[::]:8080")]
        health_listen: SocketAddr,
        /// How the cluster is reached; without it the environment's kubeconfig, or the pod's service account.
        #[arg(long)]
        kubeconfig: Option<PathBuf>,
    },
    /// Serves the old REST API over the custom resources of a Kubernetes cluster.
    Rest {
        #[command(flatten)]
        settings: rest::Settings,
        #[command(flatten)]
        artifacts: artifacts::Settings,
        /// Address of the REST API; with port 0, on any free one.
        #[arg(long, env = "CLOUDFASTER_REST_LISTEN", value_name = "ADDRESS", default_value = "[::]:8000")]
        rest_listen: SocketAddr,
        /// Address for probes (`/livez`, `/readyz`) and for Prometheus (`/metrics`).
        #[arg(long, env = "CLOUDFASTER_HEALTH_LISTEN", value_name = "ADDRESS", default_value = "[::]:8080")]
        health_listen: SocketAddr,
        /// How the cluster is reached; without it the environment's kubeconfig, or the pod's service account.
        #[arg(long)]
        kubeconfig: Option<PathBuf>,
    },
    /// Makes, lists and revokes API keys of the REST API.
    Apikey {
        #[command(flatten)]
        args: rest::keys::KeyArgs,
        /// How the cluster is reached; without it the environment's kubeconfig, or the pod's service account.
        #[arg(long, global = true)]
        kubeconfig: Option<PathBuf>,
    },
    /// Runs an embedded control plane and the reconcilers in this process, durable on disk, with a kubeconfig for kubectl;
    /// and the old REST API, if it is given an address.
    Standalone {
        #[command(flatten)]
        settings: controller::Settings,
        #[command(flatten)]
        plane: PlaneArgs,
        #[command(flatten)]
        rest: Box<rest::Settings>,
        #[command(flatten)]
        artifacts: artifacts::Settings,
        /// Address of the REST API, such as 127.0.0.1:8000; with port 0, on any free one. Without it there is none.
        #[arg(long, env = "CLOUDFASTER_REST_LISTEN", value_name = "ADDRESS")]
        rest_listen: Option<SocketAddr>,
        /// Address for probes (`/livez`, `/readyz`) and for Prometheus (`/metrics`); without it there is none.
        #[arg(long, env = "CLOUDFASTER_HEALTH_LISTEN", value_name = "ADDRESS")]
        health_listen: Option<SocketAddr>,
    },
    /// Shows it all at work: the embedded control plane, a simulated Proxmox, and machines on their way to Ready.
    Demo {
        #[command(flatten)]
        settings: controller::Settings,
        #[command(flatten)]
        args: demo::Args,
        /// Address for probes (`/livez`, `/readyz`) and for Prometheus (`/metrics`); without it there is none.
        #[arg(long, env = "CLOUDFASTER_HEALTH_LISTEN", value_name = "ADDRESS")]
        health_listen: Option<SocketAddr>,
    },
    /// Runs a simulated Proxmox VE cluster to try things on.
    SimulateProxmox(simulator::Args),
    /// Writes manifests that adopt the machines which a Proxmox cluster has already. It reads, and changes nothing.
    Import {
        #[command(flatten)]
        args: controller::import::Args,
        /// How the cluster is reached; without it the environment's kubeconfig.
        #[arg(long)]
        kubeconfig: Option<PathBuf>,
    },
    /// Says what is made of compose files: the project that they describe, or what is wrong with them.
    Compose(docker::command::Args),
    /// Prints the custom resource definitions, or writes them into a folder, a file for each.
    Crds {
        /// The folder; without it they are printed.
        #[arg(long)]
        directory: Option<PathBuf>,
    },
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cloudfaster: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(run(cli));
    // Whoever leads no longer is not kept from ending by what still runs, such as a look-up of a name.
    runtime.shutdown_background();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cloudfaster: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let level = if matches!(cli.command, Command::Demo { .. } | Command::Import { .. }) {
        telemetry::QUIET
    } else {
        telemetry::NORMAL
    };
    telemetry::start(&cli.telemetry, level)?;
    // Two libraries would each bring a provider of their own; the process names one.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return Err("a crypto provider was installed before".into());
    }
    let shutdown = CancellationToken::new();
    tokio::spawn(cancel_on_signal(shutdown.clone()));
    match cli.command {
        Command::Controller { settings, election, artifacts, health_listen, kubeconfig } => {
            let terms = election.terms()?;
            let settings = controller::Settings { artifacts: artifacts.open()?, ..settings };
            let client = Client::try_from(config(kubeconfig).await?)?;
            let telemetry = Telemetry::default();
            observed(Some(health_listen), &telemetry, async {
                Ok(controller::run(settings, client, telemetry.clone(), terms, shutdown).await?)
            })
            .await
        }
        Command::Rest { settings, artifacts, rest_listen, health_listen, kubeconfig } => {
            let settings = rest::Settings { artifacts: artifacts.open()?, ..settings };
            let client = Client::try_from(config(kubeconfig).await?)?;
            let telemetry = Telemetry::default();
            observed(Some(health_listen), &telemetry, async {
                let listener = rest::Listener::bind(rest_listen, &settings).await?;
                Ok(rest::run(listener, settings, client, telemetry.clone(), shutdown).await?)
            })
            .await
        }
        Command::Apikey { args, kubeconfig } => {
            let client = Client::try_from(config(kubeconfig).await?)?;
            Ok(rest::keys::run(args, client).await?)
        }
        Command::Standalone { settings, plane, rest, artifacts, rest_listen, health_listen } => {
            let telemetry = Telemetry::default();
            let artifacts = artifacts.or_in(&plane.data_dir)?;
            let settings = controller::Settings { artifacts: Some(artifacts.clone()), ..settings };
            let rest = rest::Settings { artifacts: Some(artifacts), ..*rest };
            let rest = match rest_listen {
                Some(address) => Some((rest::Listener::bind(address, &rest).await?, rest)),
                None => None,
            };
            let work = standalone(settings, plane, rest, telemetry.clone(), shutdown);
            observed(health_listen, &telemetry, work).await
        }
        Command::Demo { settings, args, health_listen } => {
            let telemetry = Telemetry::default();
            let work = demo::run(args, settings, telemetry.clone(), shutdown);
            observed(health_listen, &telemetry, work).await
        }
        Command::SimulateProxmox(args) => Ok(simulator::run(args, shutdown).await?),
        Command::Import { args, kubeconfig } => {
            let client = Client::try_from(config(kubeconfig).await?)?;
            let (mut out, mut notes) = (std::io::stdout(), std::io::stderr());
            tokio::select! {
                done = controller::import::run(&args, client, &mut out, &mut notes) => Ok(done?),
                () = shutdown.cancelled() => Err("it was told to stop".into()),
            }
        }
        Command::Compose(args) => docker::command::run(args),
        Command::Crds { directory } => crds(directory),
    }
}

/// Works, and tells of it on that address. Neither goes on without the other.
async fn observed(
    listen: Option<SocketAddr>,
    telemetry: &Telemetry,
    work: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    let Some(address) = listen else { return work.await };
    let server = Server::bind(address).await?;
    tokio::select! {
        done = work => done,
        ended = server.serve(telemetry.clone()) => Err(match ended {
            Ok(()) => "the listener for probes ended".into(),
            Err(error) => error.into(),
        }),
    }
}

/// How long a connection to Kubernetes may take, and how long one may be silent: longer than a watch lasts.
const CONNECT: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(150);

async fn config(kubeconfig: Option<PathBuf>) -> Result<Config, Failure> {
    let mut config = match kubeconfig {
        Some(file) => {
            let read = Kubeconfig::read_from(file)?;
            Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?
        }
        None => Config::infer().await?,
    };
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(SILENCE);
    // A connection that idled before its request is not at fault.
    config.reset_reader_on_write = true;
    Ok(config)
}

/// The reconcilers talk to the embedded control plane through an ordinary client.
async fn standalone(
    settings: controller::Settings,
    plane: PlaneArgs,
    rest: Option<(rest::Listener, rest::Settings)>,
    telemetry: Telemetry,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    // The reconcilers write to it to the end.
    let ended = CancellationToken::new();
    let control_plane = ControlPlane::open(&plane.data_dir, api::crds(), ended.clone()).await?;
    let kubeconfig = plane.kubeconfig();
    let serving = control_plane.serve(&plane.data_dir, plane.listen, &kubeconfig).await?;
    println!("The control plane serves on https://{}. Use it with:", serving.address());
    println!("    export KUBECONFIG={}", kubeconfig.display());
    let client = Client::new(control_plane.router(), "default");
    let cache_dir = settings.cache_dir.or_else(|| Some(plane.data_dir.join("cache")));
    let settings = controller::Settings { cache_dir, ..settings };
    ensure_namespace(&client, &settings.operator_namespace, &[]).await?;
    let work = async {
        let reconcilers = controller::run(settings, client.clone(), telemetry.clone(), None, shutdown.clone());
        let Some((listener, settings)) = rest else { return Ok(reconcilers.await?) };
        ensure_namespace(&client, &settings.rest_namespace, &[]).await?;
        ensure_namespace(&client, &settings.rest_users_namespace, &[(rest::LABEL, "true")]).await?;
        println!("The REST API is served on {}, and shown on {0}/docs", listener.url());
        let shim = rest::run(listener, settings, client.clone(), telemetry.clone(), shutdown.clone());
        // One that ends takes the other with it, in order.
        let (reconciled, served) = tokio::join!(
            async {
                let done = reconcilers.await;
                shutdown.cancel();
                done
            },
            async {
                let done = shim.await;
                shutdown.cancel();
                done
            },
        );
        reconciled?;
        Ok(served?)
    };
    let done = tokio::select! {
        done = work => done,
        done = serving.ended() => done.map_err(Failure::from),
    };
    ended.cancel();
    control_plane.close().await;
    done
}

/// On a real cluster the manifests make the namespaces.
async fn ensure_namespace(client: &Client, name: &str, labels: &[(&str, &str)]) -> Result<(), kube::Error> {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let namespace = Namespace {
        metadata: ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..ObjectMeta::default() },
        ..Namespace::default()
    };
    match Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        made => made.map(drop),
    }
}

fn crds(directory: Option<PathBuf>) -> Result<(), Failure> {
    for (file, yaml) in api::crd_documents()? {
        match &directory {
            Some(directory) => std::fs::write(directory.join(file), yaml)?,
            None => print!("{yaml}"),
        }
    }
    Ok(())
}

/// The first signal asks to end in order, the second one to end.
async fn cancel_on_signal(shutdown: CancellationToken) {
    signalled().await;
    shutdown.cancel();
    signalled().await;
    eprintln!("cloudfaster: ended by a second signal");
    std::process::exit(1);
}

async fn signalled() {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupted => {}
                _ = terminated.recv() => {}
            }
            return;
        }
    }
    let _ = interrupted.await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_commands_and_their_arguments_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }
}
