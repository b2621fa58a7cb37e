//! Ready-made scenarios.

use std::collections::BTreeMap;

use super::clock::ClockMode;
use super::scenario::{AclSpec, GuestSpec, NodeSpec, Release, Scenario, StorageKind, StorageSpec, TokenSpec, UserSpec};

/// An operator's privileges, enough for everything that the controller does.
const OPERATOR: &str = "Datastore.Allocate Datastore.AllocateSpace Datastore.Audit Pool.Allocate Pool.Audit \
    SDN.Use Sys.Audit VM.Allocate VM.Audit VM.Clone VM.Config.CDROM VM.Config.CPU VM.Config.Cloudinit \
    VM.Config.Disk VM.Config.HWType VM.Config.Memory VM.Config.Network VM.Config.Options VM.Monitor \
    VM.GuestAgent.Audit VM.PowerMgmt VM.Snapshot";

impl Default for Scenario {
    /// A cluster of `pve1` and `pve2` with local and shared storage and a template on each node.
    fn default() -> Self {
        let mut scenario = Self::empty(&["pve1", "pve2"]);
        scenario.storages = vec![
            StorageSpec::new("local", StorageKind::Dir, 200),
            StorageSpec::new("local-lvm", StorageKind::LvmThin, 500),
            StorageSpec::new("shared1", StorageKind::Nfs, 1000).shared(),
        ];
        scenario.templates = vec![
            GuestSpec::new(9000, "debian12", "pve1").disk("local-lvm", 4),
            GuestSpec::new(9001, "debian12", "pve2").disk("local-lvm", 4),
        ];
        scenario
    }
}

impl Scenario {
    /// Id of the token that the ready-made scenarios have.
    pub const TOKEN_ID: &'static str = "cloudfaster@pve!operator";
    /// Its secret.
    pub const TOKEN_SECRET: &'static str = "6f5b3c1e-52d4-4e0c-9d5a-1c4f4f0d2b77";
    /// Password of `root@pam` in the ready-made scenarios.
    pub const ROOT_PASSWORD: &'static str = "secret";

    /// Nodes, users and rights, but no storage and no template. One node stands alone.
    pub fn empty(nodes: &[&str]) -> Self {
        Self {
            release: Release::default(),
            clock: ClockMode::default(),
            cluster_name: (nodes.len() > 1).then(|| "simulated".to_owned()),
            nodes: nodes.iter().map(|name| NodeSpec::new(name)).collect(),
            storages: Vec::new(),
            templates: Vec::new(),
            vms: Vec::new(),
            containers: Vec::new(),
            bridges: vec!["vmbr0".into()],
            users: vec![
                UserSpec { name: "root@pam".into(), password: Some(Self::ROOT_PASSWORD.into()), enabled: true },
                UserSpec { name: "cloudfaster@pve".into(), password: Some("secret".into()), enabled: true },
            ],
            tokens: vec![TokenSpec::new(Self::TOKEN_ID, Self::TOKEN_SECRET)],
            roles: BTreeMap::from([(
                "CloudFaster".to_owned(),
                OPERATOR.split_whitespace().map(str::to_owned).collect(),
            )]),
            acl: vec![AclSpec::new("/", "cloudfaster@pve", "CloudFaster")],
            pools: Vec::new(),
            clone_mib_per_second: 400,
            boot_seconds: 20,
            error_text_in_body: true,
            seed: 1,
        }
    }

    /// What a scenario file starts from.
    pub(super) fn blank() -> Self {
        Self::empty(&[])
    }

    /// The old system's story: `sv1` to `sv5` in one cluster, with local storage, where `sv1` is small,
    /// `sv3` is down and `sv4` has but one template.
    pub fn demo() -> Self {
        let mut scenario = Self::empty(&["sv1", "sv2", "sv3", "sv4", "sv5"]);
        scenario.cluster_name = Some("cloudfaster-demo".into());
        scenario.storages = vec![
            StorageSpec::new("local", StorageKind::Dir, 100).content(&["iso", "vztmpl", "backup", "snippets"]),
            StorageSpec::new("local-lvm", StorageKind::LvmThin, 800),
        ];
        for (index, node) in scenario.nodes.iter_mut().enumerate() {
            node.memory_mib = if index == 0 { 12 * 1024 } else { 64 * 1024 };
            node.online = node.name != "sv3";
        }
        let template = |vmid: u32, name: &str, node: &str, gib: u64, tags: &str| {
            GuestSpec::new(vmid, name, node).disk("local-lvm", gib).tags(tags)
        };
        for (node, vmid) in [("sv1", 9001), ("sv2", 9002), ("sv3", 9003), ("sv5", 9005)] {
            scenario.templates.push(template(vmid, "debian12", node, 3, "debian12"));
            scenario.templates.push(template(vmid + 100, "ubuntu2404", node, 4, "ubuntu2404"));
        }
        for (node, vmid) in [("sv4", 9204), ("sv5", 9205)] {
            scenario.templates.push(template(vmid, "fedora41", node, 5, "fedora"));
        }
        for (node, vmid) in [("sv3", 9303), ("sv5", 9305)] {
            scenario.templates.push(template(vmid, "windows11", node, 24, "windows"));
        }
        scenario
    }
}
