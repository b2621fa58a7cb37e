//! `simulate-proxmox` and the scenarios it reads.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use cloudfaster::simulator::{Args, Auto, ClockMode, Error, Release, Scenario, Simulator, run};
use tokio_util::sync::CancellationToken;

const YAML: &str = "
release: '8.4'
clock: {virtual: whenPolled}
nodes:
  - {name: alone, memory_mib: 8192, cpus: 4}
storages:
  - {name: local-zfs, type: zfspool, size_gib: 100}
templates:
  - {vmid: 9000, name: debian12, node: alone, storage: local-zfs, disk_gib: 3, config: {template: '1'}}
tokens:
  - {id: 'root@pam!t', secret: s}
";

fn args() -> Args {
    Args {
        listen: "127.0.0.1:0".parse().unwrap(),
        scenario: None,
        time_scale: Some(10.0),
        release: Some(Release::V8),
        control: false,
        ca_file: None,
        fingerprint_file: None,
    }
}

#[test]
fn a_scenario_is_read_from_yaml() {
    let scenario = Scenario::from_yaml(YAML).unwrap();
    assert_eq!((scenario.release, scenario.clock), (Release::V8, ClockMode::Virtual(Auto::WhenPolled)));
    let simulator = Simulator::new(scenario);
    assert_eq!(simulator.vms().len(), 1);
    assert_eq!(simulator.volumes()[0].volid, "local-zfs:base-9000-disk-0");
}

#[test]
fn a_scenario_has_no_guests_but_those_it_names() {
    let scenario = Scenario::from_yaml("nodes: [{name: a}, {name: b}]").unwrap();
    assert!(Simulator::new(scenario).vms().is_empty());
}

#[test]
fn a_field_that_a_scenario_does_not_have_is_named() {
    let error = Scenario::from_yaml("nodes: [{name: a, memory: 5}]").unwrap_err();
    assert!(error.contains("memory"), "{error}");
}

#[test]
fn the_demo_has_five_nodes_whose_templates_differ() {
    let simulator = Simulator::new(Scenario::demo());
    assert_eq!(simulator.nodes(), ["sv1", "sv2", "sv3", "sv4", "sv5"]);
    let systems = |node: &str| -> Vec<String> {
        simulator.vms().iter().filter(|vm| vm.template && vm.node == node).map(|vm| vm.name.clone()).collect()
    };
    assert_eq!(systems("sv4"), ["fedora41"]);
    assert_eq!(systems("sv1"), ["debian12", "ubuntu2404"]);
}

#[tokio::test]
async fn the_command_writes_its_certificate_and_ends_when_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, fingerprint) = (folder.path().join("ca.pem"), folder.path().join("fingerprint"));
    let stop = CancellationToken::new();
    let args = Args { ca_file: Some(ca.clone()), fingerprint_file: Some(fingerprint.clone()), ..args() };
    // It is told to stop before it begins: it comes up, writes its files, and ends.
    stop.cancel();
    run(args, stop).await.unwrap();
    assert!(std::fs::read_to_string(ca).unwrap().starts_with("-----BEGIN CERTIFICATE-----"));
    assert_eq!(std::fs::read_to_string(fingerprint).unwrap().trim().len(), 95);
}

#[tokio::test]
async fn a_scenario_that_is_not_there_is_named() {
    let args = Args { scenario: Some("/nonexistent/scenario.yaml".into()), ..args() };
    let error = run(args, CancellationToken::new()).await.unwrap_err();
    assert!(matches!(&error, Error::Io { what, .. } if what.contains("scenario.yaml")), "{error}");
}
