//! The command line: parse, install crypto and telemetry, start, wait.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Runs Proxmox VMs and Docker compose services from Kubernetes custom resources.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Prints the custom resource definitions, or writes them into a folder, a file for each.
    Crds {
        /// The folder; without it they are printed.
        #[arg(long)]
        directory: Option<PathBuf>,
    },
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    match Cli::parse().command {
        Command::Crds { directory } => {
            for (file, yaml) in cloudfaster::api::crd_documents()? {
                match &directory {
                    Some(directory) => std::fs::write(directory.join(file), yaml)?,
                    None => print!("{yaml}"),
                }
            }
        }
    }
    Ok(())
}
