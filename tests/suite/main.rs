//! The product as its users have it: the `kubectl` binary, the `cloudfaster` binary as a process with the rights of the
//! shipped manifests, and a simulated Proxmox over HTTPS. Every scenario runs unchanged on both control planes, the
//! embedded one and a real Kubernetes; those in [`trouble`] that only Kubernetes can get into say so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod apply;
mod audit;
mod definitions;
mod docker;
mod life;
mod rest;
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
    trials.both("a_service_lives_from_apply_to_delete", docker::a_service_lives_from_apply_to_delete);
    trials.both("the_controller_is_killed_while_it_clones", trouble::the_controller_is_killed);
    trials.both("the_api_server_is_killed_while_machines_are_cloned", trouble::the_api_server_is_killed);
    trials.both("an_older_backup_is_restored", trouble::an_older_backup_is_restored);
    trials.both("the_next_node_is_taken_and_the_status_says_why", life::the_next_node_is_taken_and_the_status_says_why);
    trials.both("a_second_manager_applies_server_side", apply::a_second_manager_applies_server_side);
    trials.both("an_old_client_goes_on_working", rest::an_old_client_goes_on_working);
    trials.both("every_example_is_accepted", definitions::every_example_is_accepted);
    trials
        .both("a_fully_filled_object_survives_a_round_trip", definitions::a_fully_filled_object_survives_a_round_trip);
    trials.together(
        "what_the_schema_limits_is_refused_in_the_same_words",
        definitions::what_the_schema_limits_is_refused_in_the_same_words,
    );
    trials.together(
        "what_the_rules_forbid_is_refused_in_the_same_words",
        definitions::what_the_rules_forbid_is_refused_in_the_same_words,
    );
    trials.together("kubectl_explains_both_alike", definitions::kubectl_explains_both_alike);
    trials.kubernetes("a_broken_definition_is_refused", definitions::kubernetes_refuses_a_broken_definition);
    trials.both("two_controllers_work_at_once", trouble::two_controllers_work_at_once);
    trials.kubernetes("the_leader_is_killed_while_it_clones", trouble::the_leader_is_killed_while_it_clones);
    trials.kubernetes("rights_are_taken_away_and_given_back", trouble::rights_are_taken_away_and_given_back);
    trials.kubernetes(
        "a_secret_that_may_not_be_read_is_told_in_the_condition",
        trouble::a_secret_that_may_not_be_read_is_told_in_the_condition,
    );
    trials.kubernetes("a_token_expires_and_is_renewed", trouble::a_token_expires_and_is_renewed);
    audit::begin();
    let conclusion = libtest_mimic::run(&arguments, trials.list);
    // A part of the suite uses a part of the rights.
    let whole = arguments.filter.is_none() && arguments.skip.is_empty() && !arguments.list;
    let equal = !whole || audit::compare();
    if !arguments.list {
        println!("control planes: embedded (cloudfaster standalone); {}", Kubernetes::describe());
    }
    if equal { conclusion.exit_code() } else { ExitCode::FAILURE }
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
        let plane = match which {
            Which::Embedded => "embedded",
            Which::Kubernetes => "kubernetes",
        };
        self.add(format!("{plane}::{name}"), move || scenario(which));
    }

    /// One that compares both.
    fn together<F: Future<Output = ()> + Send + 'static>(&mut self, name: &str, scenario: fn() -> F) {
        self.add(format!("both::{name}"), scenario);
    }

    /// One that only Kubernetes can get into.
    fn kubernetes<F: Future<Output = ()> + Send + 'static>(&mut self, name: &str, scenario: fn() -> F) {
        self.add(format!("kubernetes::{name}"), scenario);
    }

    fn add<F: Future<Output = ()>>(&mut self, name: String, scenario: impl FnOnce() -> F + Send + 'static) {
        let runtime = self.runtime.clone();
        self.list.push(Trial::test(name, move || {
            runtime.block_on(scenario());
            Ok(())
        }));
    }
}
