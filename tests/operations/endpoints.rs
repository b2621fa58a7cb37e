//! What the listener answers to probes and to Prometheus.

use std::collections::{BTreeMap, BTreeSet};

use cloudfaster::api::ProxmoxVM;

use crate::{
    process::{LIMIT, LONG, Replica, SHORT, World, until_leads},
    support::small,
};

/// Names and values of the labels of each family.
fn labels(metrics: &str) -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    let mut families: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let Some((family, rest)) = line.split_once('{') else { continue };
        let (pairs, _) = rest.split_once("\"} ").unwrap();
        for pair in pairs.split("\",") {
            let (name, value) = pair.split_once("=\"").unwrap();
            families.entry(family.to_owned()).or_default().entry(name.to_owned()).or_default().insert(value.to_owned());
        }
    }
    families
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_counted_has_labels_of_few_values_and_no_name_of_an_object() {
    let world = World::new(small(1)).await;
    let replica = Replica::start(&world, &LONG).await;
    world.machine("zebra").await;
    world.until_ready("zebra").await;
    let metrics = replica.until("/metrics", |_, text| text.contains("phase=\"Running\"} 1")).await;
    let families = labels(&metrics);
    let names = ["zebra", "shop", "pve1", "debian12", "main", "cloudfaster-system", "1000", "127.0.0.1"];
    for value in families.values().flat_map(BTreeMap::values).flatten() {
        assert!(names.iter().all(|name| !value.contains(name)), "a label says {value}\n{metrics}");
    }
    let known = |family: &str, label: &str| families[family][label].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(known("cloudfaster_reconciles_total", "kind"), ["ProxmoxCluster", "ProxmoxVM"]);
    assert_eq!(known("cloudfaster_objects", "kind"), ["ProxmoxCluster", "ProxmoxVM"]);
    assert!(known("cloudfaster_proxmox_requests_total", "route").contains(&"/nodes/{}/qemu/{}/clone"));
    assert!(known("cloudfaster_kubernetes_requests_total", "resource").contains(&"proxmoxvms/status"));
    let expected: BTreeSet<&str> =
        ["kind", "outcome", "phase", "method", "route", "verb", "resource", "state", "le", "version"].into();
    for (family, labels) in &families {
        for (label, values) in labels {
            assert!(expected.contains(label.as_str()), "{family} has a label {label}");
            assert!(values.len() < 40, "{family} has {} values of {label}", values.len());
        }
    }
    for line in [
        "cloudfaster_leader 1",
        "cloudfaster_inventory_sites{state=\"current\"} 1",
        "cloudfaster_objects_backing_off{kind=\"ProxmoxVM\"} 0",
        concat!("cloudfaster_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
    ] {
        assert!(metrics.lines().any(|each| each == line), "{line} is missing in\n{metrics}");
    }
    for family in ["process_start_time_seconds ", "process_resident_memory_bytes ", "process_cpu_seconds_total "] {
        assert!(metrics.contains(family), "{family} is missing in\n{metrics}");
    }
    assert!(metrics.ends_with("# EOF\n"));
    let seconds = metrics.lines().find_map(|line| line.strip_prefix("cloudfaster_inventory_age_seconds ")).unwrap();
    assert!(seconds.parse::<f64>().unwrap() < 60.0, "{seconds}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_is_live_with_a_beat_of_each_loop_and_says_so_when_asked() {
    let world = World::new(small(1)).await;
    let mut leader = world.leader();
    let mut replica = Replica::start(&world, &LONG).await;
    until_leads(&mut leader, |_| true).await;
    replica.until_ready().await;
    assert_eq!(replica.get("/livez").await, (200, "ok".to_owned()));
    assert_eq!(replica.get("/readyz").await, (200, "ok".to_owned()));
    let (status, text) = replica.get("/livez?verbose").await;
    assert_eq!(status, 200);
    for line in ["[+]lease ok", "[+]controller-proxmoxvms ok", "[+]controller-proxmoxclusters ok"] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    let (_, text) = replica.get("/readyz?verbose").await;
    for line in ["[+]lease ok", "[+]cache-proxmoxvms ok", "[+]watch-proxmoxclusters ok", "[+]kubernetes ok"] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    assert_eq!(replica.get("/").await.0, 404);
    replica.signal("TERM");
    assert_eq!(replica.ended().await.code(), Some(0));
}

/// What a role has to grant, in the whole cluster or in the operator's namespace.
const RIGHTS: &[(&str, &[&str])] = &[
    ("configmaps", &["create", "get"]),
    ("dockerhosts", &["get", "list", "patch", "watch"]),
    ("dockerhosts/status", &["update"]),
    ("dockerservices", &["list", "patch", "watch"]),
    ("dockerservices/status", &["update"]),
    ("events", &["create", "patch"]),
    ("leases", &["create", "get", "update", "watch"]),
    ("namespaces", &["get"]),
    ("proxmoxclusters", &["get", "list", "patch", "watch"]),
    ("proxmoxclusters/status", &["update"]),
    ("proxmoxvms", &["list", "patch", "watch"]),
    ("proxmoxvms/status", &["update"]),
    ("secrets", &["create", "get", "patch"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn no_other_rights_are_used_than_those_that_are_documented() {
    let world = World::new(small(1)).await;
    let replica = Replica::start(&world, &SHORT).await;
    world.machine("one").await;
    world.until_ready("one").await;
    world.machines().delete("one", &Default::default()).await.unwrap();
    let gone = kube::runtime::wait::await_condition(world.machines(), "one", |vm: Option<&ProxmoxVM>| vm.is_none());
    tokio::time::timeout(LIMIT, gone).await.expect("it goes").unwrap();
    let metrics = replica.get("/metrics").await.1;
    let mut used: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in metrics.lines().filter_map(|line| line.strip_prefix("cloudfaster_kubernetes_requests_total{verb=\"")) {
        let (verb, rest) = line.split_once("\",resource=\"").unwrap();
        used.entry(rest.split_once('"').unwrap().0).or_default().insert(verb);
    }
    // An event is patched when it repeats, which it need not.
    used.entry("events").or_default().insert("patch");
    // Without an engine its kinds are listed and watched; the audit log of the suite, which has one, tells of the rest.
    for (resource, verbs) in RIGHTS.iter().filter(|(resource, _)| resource.starts_with("docker")) {
        used.entry(resource).or_default().extend(*verbs);
    }
    // Of the same: it is made for a service of types.
    used.entry("secrets").or_default().insert("create");
    let used: Vec<(&str, Vec<&str>)> =
        used.into_iter().map(|(resource, verbs)| (resource, verbs.into_iter().collect())).collect();
    let granted: Vec<(&str, Vec<&str>)> = RIGHTS.iter().map(|(resource, verbs)| (*resource, verbs.to_vec())).collect();
    assert_eq!(used, granted);
    let documented = std::fs::read_to_string("docs/operations.md").unwrap();
    for (resource, verbs) in RIGHTS {
        let row = format!("| `{resource}` | {} |", verbs.join(", "));
        assert!(documented.contains(&row), "docs/operations.md has no row {row}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_form_tells_of_its_health_when_it_is_asked_to() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path().to_str().unwrap();
    let replica = Replica::run(&["standalone", "--listen", "127.0.0.1:0", "--data-dir", data]).await;
    replica.until_ready().await;
    assert!(replica.get("/readyz?verbose").await.1.contains("[+]cache-proxmoxvms ok"));
    assert!(replica.get("/metrics").await.1.contains("cloudfaster_leader 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_ends_the_process_with_the_name_of_the_flag() {
    let world = World::bare(small(1)).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let run = tokio::process::Command::new(env!("CARGO_BIN_EXE_cloudfaster"))
        .args(["controller", "--health-listen", &address, "--kubeconfig"])
        .arg(world.kubeconfig())
        .output()
        .await
        .unwrap();
    let text = String::from_utf8(run.stderr).unwrap();
    assert!(
        !run.status.success() && text.contains(&format!("--health-listen: {address} cannot be listened on")),
        "{text}"
    );
}
