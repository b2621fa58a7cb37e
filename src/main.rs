//! The command line: parse, install crypto and telemetry, start, wait.

mod demo;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use cloudfaster::{
    api, controller, simulator,
    standalone::{ControlPlane, PlaneArgs},
    telemetry,
};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Config,
    api::{ObjectMeta, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio_util::sync::CancellationToken;

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
enum Command {
    /// Runs the reconcilers against a Kubernetes cluster.
    Controller {
        #[command(flatten)]
        settings: controller::Settings,
        /// How the cluster is reached; without it the environment's kubeconfig, or the pod's service account.
        #[arg(long)]
        kubeconfig: Option<PathBuf>,
    },
    /// Runs an embedded control plane and the reconcilers in this process, durable on disk, with a kubeconfig for kubectl.
    Standalone {
        #[command(flatten)]
        settings: controller::Settings,
        #[command(flatten)]
        plane: PlaneArgs,
    },
    /// Shows it all at work: the embedded control plane, a simulated Proxmox, and machines on their way to Ready.
    Demo {
        #[command(flatten)]
        settings: controller::Settings,
        #[command(flatten)]
        args: demo::Args,
    },
    /// Runs a simulated Proxmox VE cluster to try things on.
    SimulateProxmox(simulator::Args),
    /// Prints the custom resource definitions, or writes them into a folder, a file for each.
    Crds {
        /// The folder; without it they are printed.
        #[arg(long)]
        directory: Option<PathBuf>,
    },
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cloudfaster: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    telemetry::start(&cli.telemetry)?;
    // Two libraries would each bring a provider of their own; the process names one.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        return Err("a crypto provider was installed before".into());
    }
    let shutdown = CancellationToken::new();
    tokio::spawn(cancel_on_signal(shutdown.clone()));
    match cli.command {
        Command::Controller { settings, kubeconfig } => {
            let client = Client::try_from(config(kubeconfig).await?)?;
            Ok(controller::run(settings, client, shutdown).await?)
        }
        Command::Standalone { settings, plane } => standalone(settings, plane, shutdown).await,
        Command::Demo { settings, args } => demo::run(args, settings, shutdown).await,
        Command::SimulateProxmox(args) => Ok(simulator::run(args, shutdown).await?),
        Command::Crds { directory } => crds(directory),
    }
}

async fn config(kubeconfig: Option<PathBuf>) -> Result<Config, Failure> {
    Ok(match kubeconfig {
        Some(file) => {
            let read = Kubeconfig::read_from(file)?;
            Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?
        }
        None => Config::infer().await?,
    })
}

/// The reconcilers talk to the embedded control plane through an ordinary client.
async fn standalone(
    settings: controller::Settings,
    plane: PlaneArgs,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    let ended = shutdown.clone().drop_guard();
    let control_plane = ControlPlane::open(&plane.data_dir, api::crds(), shutdown.clone()).await?;
    let kubeconfig = plane.kubeconfig();
    let serving = control_plane.serve(&plane.data_dir, plane.listen, &kubeconfig).await?;
    println!("The control plane serves on https://{}. Use it with:", serving.address());
    println!("    export KUBECONFIG={}", kubeconfig.display());
    let client = Client::new(control_plane.router(), "default");
    ensure_namespace(&client, &settings.operator_namespace).await?;
    let done = tokio::select! {
        done = controller::run(settings, client, shutdown) => done.map_err(Failure::from),
        done = serving.ended() => done.map_err(Failure::from),
    };
    drop(ended);
    control_plane.close().await;
    done
}

/// On a real cluster the manifests make the operator's namespace.
async fn ensure_namespace(client: &Client, name: &str) -> Result<(), kube::Error> {
    let namespace = Namespace {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
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

async fn cancel_on_signal(shutdown: CancellationToken) {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupted => {}
                _ = terminated.recv() => {}
            }
            shutdown.cancel();
            return;
        }
    }
    let _ = interrupted.await;
    shutdown.cancel();
}
