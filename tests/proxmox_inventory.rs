//! The inventory against small HTTPS servers: what it asks, what it knows, whom it tells.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[allow(dead_code)]
#[path = "support/pve_server.rs"]
mod server;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use cloudfaster::proxmox::{
    client::{Client, Settings, Trust},
    identity::Mark,
    inventory::{
        Event, GuestKind, InvalidSettings, Inventory, InventorySettings, Node, Reach, Site, SiteError, SiteId,
        TaskState,
    },
    wire::Upid,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use server::{PveServer, Reply, Seen};
use tokio_util::sync::CancellationToken;

const CLONE: &str = "UPID:pve1:00000193:0008C543:6B03CAC0:qmclone:9000:op@pve!full:";
const NEVER: Duration = Duration::from_secs(3600);

/// What a pretended cluster says.
#[derive(Clone)]
struct Cluster {
    name: &'static str,
    quorate: bool,
    /// VMID to node and description.
    vms: BTreeMap<u32, (String, String)>,
    tasks: Vec<Value>,
    task_status: Value,
    /// Nodes whose configurations cannot be had.
    broken: BTreeSet<String>,
    refusal: Option<(u16, &'static str)>,
}

impl Cluster {
    fn new(vms: impl IntoIterator<Item = u32>) -> Self {
        Self {
            name: "lab",
            quorate: true,
            vms: vms.into_iter().map(|vmid| (vmid, ("pve1".to_owned(), String::new()))).collect(),
            tasks: Vec::new(),
            task_status: Value::Null,
            broken: BTreeSet::new(),
            refusal: None,
        }
    }

    fn reply(&self, seen: &Seen) -> Reply {
        if let Some((status, reason)) = self.refusal {
            return Reply::refusal(status, reason, "");
        }
        let path: Vec<_> = seen.path.split('/').skip(3).collect();
        Reply::data(match path.as_slice() {
            ["version"] => json!({"version": "9.2.11"}),
            ["cluster", "status"] => json!([
                {"type": "cluster", "name": self.name, "quorate": u8::from(self.quorate)},
                {"type": "node", "name": "pve1", "ip": "10.99.0.1", "online": 1, "local": 1},
                {"type": "node", "name": "pve2", "ip": "10.99.0.2", "online": 1},
            ]),
            ["cluster", "tasks"] => json!(self.tasks),
            ["cluster", "resources"] => {
                let nodes = ["pve1", "pve2"]
                    .map(|node| json!({"type": "node", "node": node, "status": "online", "maxmem": 1_u64 << 34}));
                let vms = self
                    .vms
                    .iter()
                    .map(|(vmid, (node, _))| json!({"type": "qemu", "vmid": vmid, "node": node, "status": "stopped"}));
                Value::Array(nodes.into_iter().chain(vms).collect())
            }
            ["nodes", node, "qemu", vmid, "config"] => {
                if self.broken.contains(*node) {
                    return Reply::refusal(595, "No route to host", "");
                }
                match self.vms.get(&vmid.parse().unwrap()) {
                    Some((_, description)) => json!({"description": description}),
                    None => {
                        return Reply::refusal(500, "Configuration file 'x' does not exist", "");
                    }
                }
            }
            ["nodes", _, "tasks", _, "status"] => self.task_status.clone(),
            _ => return Reply::refusal(501, "not implemented", ""),
        })
    }
}

struct Lab {
    cluster: Arc<Mutex<Cluster>>,
    server: PveServer,
}

impl Lab {
    async fn start(cluster: Cluster) -> Self {
        let cluster = Arc::new(Mutex::new(cluster));
        let shown = cluster.clone();
        let server = PveServer::start(move |seen| shown.lock().reply(seen)).await;
        Self { cluster, server }
    }

    fn inventory(&self) -> Inventory {
        inventory([site(self.server.settings())], NEVER, NEVER)
    }

    /// How often each path was asked for.
    fn asked(&self) -> BTreeMap<String, usize> {
        let mut asked = BTreeMap::new();
        for seen in self.server.seen() {
            *asked.entry(seen.path.replace("/api2/json", "")).or_default() += 1;
        }
        asked
    }
}

fn site(settings: Settings) -> Site {
    Site {
        client: Arc::new(Client::new(settings).unwrap()),
        nodes: vec![node("sv1", "pve1"), node("sv2", "pve2")],
        stand_alone: false,
    }
}

fn node(name: &str, proxmox_name: &str) -> Node {
    Node { name: name.to_owned(), proxmox_name: proxmox_name.to_owned() }
}

fn inventory(sites: impl IntoIterator<Item = Site>, poll_fast: Duration, poll_slow: Duration) -> Inventory {
    let settings = InventorySettings { sites: sites.into_iter().collect(), poll_fast, poll_slow };
    Inventory::start(settings, CancellationToken::new()).unwrap()
}

fn mark(vmid: u32) -> Mark {
    Mark {
        installation: "prod".to_owned(),
        namespace: "shop".to_owned(),
        name: "web".to_owned(),
        uid: "u1".to_owned(),
        vmid,
    }
}

#[tokio::test]
async fn a_thousand_vms_cost_the_requests_of_one() {
    let lab = Lab::start(Cluster::new(1000..2000)).await;
    let inventory = lab.inventory();
    assert!(inventory.refresh().await.marks_complete());
    inventory.refresh().await;
    inventory.refresh().await;
    let asked = lab.asked();
    let polls = asked["/cluster/resources"];
    assert!((3..=4).contains(&polls), "{polls}");
    assert_eq!(asked["/cluster/tasks"], polls);
    assert_eq!(asked["/cluster/status"], polls);
    assert_eq!(asked["/version"], 1);
    let configs: Vec<_> = asked.iter().filter(|(path, _)| path.ends_with("/config")).collect();
    assert_eq!(configs.len(), 1000);
    assert!(configs.iter().all(|(_, times)| **times == 1));
}

#[tokio::test]
async fn a_refresh_sees_what_was_there_when_it_was_called() {
    let lab = Lab::start(Cluster::new([600])).await;
    let inventory = lab.inventory();
    for vmid in 601..620 {
        // Half of them while a poll is under way.
        if vmid % 2 == 0 {
            inventory.hurry();
            tokio::task::yield_now().await;
        }
        let vm = ("pve2".to_owned(), mark(vmid).line());
        lab.cluster.lock().vms.insert(vmid, vm);
        let snapshot = inventory.refresh().await;
        assert_eq!(snapshot.vm("sv1", vmid).unwrap().node.as_deref(), Some("sv2"));
        assert!(snapshot.claims("u1").iter().any(|claim| claim.vmid == vmid));
    }
    lab.cluster.lock().vms.remove(&600);
    assert!(!inventory.refresh_node("sv2").await.is_taken(600));
}

#[tokio::test]
async fn subscribers_hear_which_vm_and_task_it_was() {
    let lab = Lab::start(Cluster::new([600, 601])).await;
    let inventory = lab.inventory();
    inventory.refresh().await;
    let mut events = inventory.subscribe();
    {
        let mut cluster = lab.cluster.lock();
        cluster.vms.insert(602, ("pve1".to_owned(), String::new()));
        cluster.tasks.push(json!({"upid": CLONE, "node": "pve1"}));
    }
    inventory.hurry();
    let Some(Event::Changed(changes)) = events.next().await else {
        panic!("no event");
    };
    assert_eq!(changes.site, SiteId(0));
    assert_eq!(changes.vms, BTreeSet::from([602]));
    assert_eq!(changes.tasks, BTreeSet::from([CLONE.parse().unwrap()]));
}

#[tokio::test]
async fn it_asks_often_while_a_task_runs_and_rests_after() {
    let mut cluster = Cluster::new([600]);
    cluster.tasks.push(json!({"upid": CLONE, "node": "pve1"}));
    let lab = Lab::start(cluster).await;
    let inventory = inventory([site(lab.server.settings())], Duration::from_millis(1), NEVER);
    // Nobody asks for these polls.
    lab.server.wait_for_requests(40).await;
    let mut events = inventory.subscribe();
    lab.cluster.lock().tasks = vec![json!({"upid": CLONE, "status": "OK", "endtime": 1})];
    let upid: Upid = CLONE.parse().unwrap();
    while inventory.snapshot().task("sv1", &upid) == Some(&TaskState::Running) {
        events.next().await.unwrap();
    }
    let count = lab.server.seen().len();
    let more = lab.server.wait_for_requests(count + 1);
    let more = tokio::time::timeout(Duration::from_millis(100), more).await;
    assert!(more.is_err(), "it does not rest");
    inventory.expect_activity(tokio::time::Instant::now() + NEVER);
    lab.server.wait_for_requests(count + 20).await;
}

#[tokio::test]
async fn a_task_that_left_the_list_is_looked_up() {
    let mut cluster = Cluster::new([600]);
    cluster.tasks.push(json!({"upid": CLONE, "node": "pve1"}));
    cluster.task_status = json!({"status": "stopped", "exitstatus": "clone failed: no space"});
    let lab = Lab::start(cluster).await;
    let inventory = lab.inventory();
    let upid: Upid = CLONE.parse().unwrap();
    let snapshot = inventory.refresh().await;
    assert_eq!(snapshot.task("sv1", &upid), Some(&TaskState::Running));
    assert_eq!(snapshot.running_clones_of("sv1", 9000), 1);
    lab.cluster.lock().tasks.clear();
    let failed = TaskState::Ended { ok: false, text: "clone failed: no space".to_owned() };
    for _ in 0..2 {
        let snapshot = inventory.refresh().await;
        assert_eq!(snapshot.task("sv1", &upid), Some(&failed));
    }
}

#[tokio::test]
async fn a_refused_token_is_said_and_goes_away_once_mended() {
    let mut cluster = Cluster::new([600]);
    cluster.refusal = Some((401, "Authentication failed!"));
    let lab = Lab::start(cluster).await;
    let inventory = lab.inventory();
    let snapshot = inventory.refresh().await;
    let error = snapshot.site(SiteId(0)).unwrap().error.clone();
    assert_eq!(error, Some(SiteError::Auth("Authentication failed!".to_owned())));
    assert!(matches!(snapshot.node("sv1").unwrap().reach, Reach::Unknown(_)));
    lab.cluster.lock().refusal = None;
    let snapshot = inventory.refresh().await;
    assert!(snapshot.site(SiteId(0)).unwrap().error.is_none());
    assert_eq!(snapshot.node("sv1").unwrap().reach, Reach::Online);
    assert_eq!(snapshot.vm("sv1", 600).unwrap().kind, GuestKind::Qemu);
}

#[tokio::test]
async fn failed_polls_come_again_by_themselves() {
    let mut cluster = Cluster::new([600]);
    cluster.refusal = Some((500, "cluster not ready - no quorum?"));
    let lab = Lab::start(cluster).await;
    let inventory = inventory([site(lab.server.settings())], NEVER, Duration::from_millis(1));
    let mut events = inventory.subscribe();
    lab.server.wait_for_requests(6).await;
    lab.cluster.lock().refusal = None;
    while inventory.snapshot().site(SiteId(0)).unwrap().at.is_none() {
        events.next().await.unwrap();
    }
}

#[tokio::test]
async fn a_wrong_certificate_is_an_error_of_its_own() {
    let lab = Lab::start(Cluster::new([])).await;
    let mut settings = lab.server.settings();
    settings.trust = Trust::Fingerprints(vec!["00".repeat(32).parse().unwrap()]);
    let inventory = inventory([site(settings)], NEVER, NEVER);
    let snapshot = inventory.refresh().await;
    let error = snapshot.site(SiteId(0)).unwrap().error.clone();
    assert!(matches!(error, Some(SiteError::Fingerprint(_))), "{error:?}");
}

#[tokio::test]
async fn endpoints_of_different_clusters_are_refused() {
    let (one, mut other) = (Cluster::new([600]), Cluster::new([700]));
    other.name = "office";
    let (one, other) = (Lab::start(one).await, Lab::start(other).await);
    let mut settings = one.server.settings();
    settings.endpoints.push(other.server.endpoint());
    settings.trust = Trust::Insecure;
    let inventory = inventory([site(settings)], NEVER, NEVER);
    let snapshot = inventory.refresh().await;
    let error = snapshot.site(SiteId(0)).unwrap().error.clone().unwrap();
    let text = error.to_string();
    assert!(matches!(error, SiteError::Mismatch(_)));
    assert!(text.contains("\"office\"") && text.contains("\"lab\""), "{text}");
}

#[tokio::test]
async fn an_endpoint_with_quorum_is_found() {
    let mut cut_off = Cluster::new([1]);
    cut_off.quorate = false;
    let (cut_off, whole) = (Lab::start(cut_off).await, Lab::start(Cluster::new([600])).await);
    let mut settings = cut_off.server.settings();
    settings.endpoints.push(whole.server.endpoint());
    settings.trust = Trust::Insecure;
    let inventory = inventory([site(settings)], NEVER, NEVER);
    inventory.refresh().await;
    let snapshot = inventory.refresh().await;
    assert!(snapshot.marks_complete());
    assert!(snapshot.is_taken(600) && !snapshot.is_taken(1));
}

#[tokio::test]
async fn a_configuration_that_cannot_be_read_leaves_the_marks_incomplete() {
    let mut cluster = Cluster::new([600]);
    let there = ("pve2".to_owned(), mark(700).line());
    cluster.vms.insert(700, there);
    cluster.broken.insert("pve2".to_owned());
    let lab = Lab::start(cluster).await;
    let inventory = lab.inventory();
    let snapshot = inventory.refresh().await;
    assert!(!snapshot.marks_complete() && snapshot.claims("u1").is_empty());
    assert!(snapshot.vm("sv1", 600).unwrap().marks_known());
    lab.cluster.lock().broken.clear();
    let snapshot = inventory.refresh().await;
    assert!(snapshot.marks_complete());
    assert_eq!(snapshot.claims("u1")[0].vmid, 700);
}

#[tokio::test]
async fn a_description_that_we_wrote_is_read_again() {
    let lab = Lab::start(Cluster::new([600])).await;
    let inventory = lab.inventory();
    inventory.refresh().await;
    lab.cluster.lock().vms.insert(600, ("pve1".to_owned(), mark(600).line()));
    assert!(inventory.refresh().await.claims("u1").is_empty());
    inventory.reread("sv1", 600);
    assert_eq!(inventory.refresh().await.claims("u1").len(), 1);
}

#[tokio::test]
async fn an_unreachable_site_does_not_hold_up_another() {
    let (up, down) = (Lab::start(Cluster::new([600])).await, Lab::start(Cluster::new([])).await);
    let far = Site { nodes: vec![node("sv3", "pve1")], ..site(down.server.settings()) };
    drop(down);
    tokio::task::yield_now().await;
    let inventory = inventory([site(up.server.settings()), far], NEVER, NEVER);
    let snapshot = inventory.refresh().await;
    assert_eq!(snapshot.node("sv1").unwrap().reach, Reach::Online);
    let error = snapshot.site_of("sv3").unwrap().error.clone();
    assert!(matches!(error, Some(SiteError::Unreachable(_))), "{error:?}");
    assert!(!snapshot.marks_complete());
}

#[tokio::test]
async fn it_stops_with_its_token() {
    let lab = Lab::start(Cluster::new([600])).await;
    let token = CancellationToken::new();
    let settings = InventorySettings { sites: vec![site(lab.server.settings())], poll_fast: NEVER, poll_slow: NEVER };
    let inventory = Inventory::start(settings, token.clone()).unwrap();
    let mut events = inventory.subscribe();
    inventory.refresh().await;
    token.cancel();
    while events.next().await.is_some() {}
    assert!(inventory.refresh().await.is_taken(600));
    assert_eq!(inventory.subscribe().next().await, None);
}

#[tokio::test]
async fn a_node_given_twice_is_refused() {
    let server = PveServer::start(|_| Reply::Lost).await;
    let mut twice = site(server.settings());
    twice.nodes[1].name = "sv1".to_owned();
    let mut same = site(server.settings());
    same.nodes[1].proxmox_name = "pve1".to_owned();
    for (site, error) in [
        (twice, InvalidSettings::NodeTwice("sv1".to_owned())),
        (same, InvalidSettings::SameNode("sv1".to_owned(), "sv2".to_owned())),
    ] {
        let settings = InventorySettings { sites: vec![site], poll_fast: NEVER, poll_slow: NEVER };
        assert_eq!(Inventory::start(settings, CancellationToken::new()).err(), Some(error));
    }
}
