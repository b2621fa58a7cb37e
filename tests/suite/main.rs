//! The product as its users have it: the `kubectl` binary, the `cloudfaster` binary as a process with the rights of the
//! shipped manifests, and a simulated Proxmox over HTTPS. Every scenario runs unchanged on both control planes, the
//! embedded one and a real Kubernetes; those in [`trouble`] that only Kubernetes can get into say so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod life;
mod support;
mod trouble;

use std::{future::Future, process::ExitCode, sync::Arc};

use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;

use support::{Which, kubernetes::Kubernetes};

fn main() -> ExitCode {
    rustls::crypto::ring::default_provider().install_default().expect("nobody else names a provider");
    let arguments = Arguments::from_args();
    let runtime = Arc::new(Runtime::new().expect("a runtime"));
    let mut trials = Trials { runtime, list: Vec::new() };
    trials.both("a_machine_lives_from_apply_to_delete", life::from_apply_to_delete);
    trials.both("the_controller_is_killed_while_it_clones", trouble::the_controller_is_killed);
    trials.both("the_api_server_is_killed_while_machines_are_cloned", trouble::the_api_server_is_killed);
    trials.on(Which::Embedded, "an_older_backup_is_restored", trouble::an_older_backup_is_restored);
    let conclusion = libtest_mimic::run(&arguments, trials.list);
    if !arguments.list {
        println!("control planes: embedded (cloudfaster standalone); {}", Kubernetes::describe());
    }
    conclusion.exit_code()
}

/// The scenarios.
struct Trials {
    runtime: Arc<Runtime>,
    list: Vec<Trial>,
}

impl Trials {
    /// One that runs on both control planes.
    fn both<F: Future<Output = ()> + Send + 'static>(&mut self, name: &str, scenario: fn(Which) -> F) {
        self.on(Which::Embedded, name, scenario);
        self.on(Which::Kubernetes, name, scenario);
    }

    fn on<F: Future<Output = ()> + Send + 'static>(&mut self, which: Which, name: &str, scenario: fn(Which) -> F) {
        let runtime = self.runtime.clone();
        let plane = match which {
            Which::Embedded => "embedded",
            Which::Kubernetes => "kubernetes",
        };
        self.list.push(Trial::test(format!("{plane}::{name}"), move || {
            runtime.block_on(scenario(which));
            Ok(())
        }));
    }
}
