//! The rights that `docs/install.md` gives: with exactly these a machine is made, kept and removed, and none of them can be
//! spared.

use std::collections::BTreeMap;

use cloudfaster::simulator::{AclSpec, Effect, Fault, Release, RequestRecord, Scenario, TaskView, TokenSpec};
use futures::future::join_all;
use serde_json::json;

use crate::support::{Lab, open_tenants, reason, small};

/// What the administrator typed on a node, as far as it gives rights.
#[derive(Clone, Default)]
struct Rights {
    token: String,
    separated: bool,
    roles: BTreeMap<String, Vec<String>>,
    acl: Vec<AclSpec>,
}

/// The commands of the page for this release, read as Proxmox reads them.
fn documented(release: Release) -> Rights {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/install.md")).unwrap();
    let mut rights = Rights::default();
    let mut prose = "";
    for (index, part) in page.split("```").enumerate() {
        let heading = prose.trim_end().lines().last().unwrap_or_default();
        let other = match release {
            Release::V8 => heading.starts_with("Proxmox VE 9"),
            Release::V9 => heading.starts_with("Proxmox VE 8"),
        };
        if index % 2 == 1 && !other {
            for command in part.lines().filter_map(|line| line.strip_prefix("# pveum ")) {
                rights.read(command);
            }
        }
        prose = part;
    }
    rights
}

impl Rights {
    fn read(&mut self, command: &str) {
        let words: Vec<String> = command
            .split('"')
            .enumerate()
            .flat_map(|(index, part)| match index % 2 {
                0 => part.split_whitespace().map(str::to_owned).collect(),
                _ => vec![part.to_owned()],
            })
            .collect();
        let option = |name: &str| {
            let at = words.iter().position(|word| word == name).unwrap_or_else(|| panic!("no {name} in {command}"));
            words[at + 1].clone()
        };
        match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["user", "add", user, ..] => assert_eq!(user, "cloudfaster@pve"),
            ["role", "add", role, ..] => {
                let privileges = option("--privs").split(' ').map(str::to_owned).collect();
                assert!(self.roles.insert(role.to_owned(), privileges).is_none(), "{role} is made twice");
            }
            ["user", "token", "add", user, name, ..] => {
                self.token = format!("{user}!{name}");
                self.separated = option("--privsep") == "1";
            }
            ["acl", "modify", path, ..] => {
                let role = option("--roles");
                self.acl.extend(["--users", "--tokens"].map(|who| AclSpec::new(path, &option(who), &role)));
            }
            _ => panic!("nobody here knows: pveum {command}"),
        }
    }

    fn without(&self, privilege: &str) -> Self {
        let mut less = self.clone();
        for privileges in less.roles.values_mut() {
            privileges.retain(|each| each != privilege);
        }
        less
    }

    /// Two nodes where they hold.
    async fn lab(&self, release: Release) -> Lab {
        let mut scenario = small(2).release(release);
        scenario.roles = self.roles.clone();
        scenario.acl = self.acl.clone();
        scenario.tokens =
            vec![TokenSpec { privsep: self.separated, ..TokenSpec::new(&self.token, Scenario::TOKEN_SECRET) }];
        scenario.boot_seconds = 0;
        let mut lab = Lab::bare(scenario).await;
        lab.connect().await;
        lab.start();
        lab
    }
}

/// The first clone fails and leaves a volume, which cannot be removed until the fault is cleared.
fn spoil_the_first_clone(lab: &Lab) -> u64 {
    lab.simulator.fault(Fault::new(Effect::CloneFails { percent: 50.0 }).node("pve1").times(1)).unwrap();
    lab.simulator.fault(Fault::new(Effect::VolumesUndeletable).vmid(1000)).unwrap()
}

fn refused(lab: &Lab) -> Vec<RequestRecord> {
    lab.simulator.requests().into_iter().filter(|request| request.status == Some(403)).collect()
}

/// What cannot be seen is no reason to refuse: a node without room or template is passed over.
fn passed_over(lab: &Lab) -> bool {
    let attempts = lab.get("one").and_then(|vm| vm.status).unwrap_or_default().attempts;
    attempts.iter().any(|attempt| ["NoTemplate", "StorageOffline"].contains(&attempt.reason.as_str()))
}

/// Everything that the operator does, from the first look to the last volume.
async fn nothing_is_refused(release: Release) {
    let rights = documented(release);
    assert_eq!(rights.token, Scenario::TOKEN_ID);
    assert!(rights.separated, "the token has only what it is given");
    let lab = rights.lab(release).await;
    let stuck = spoil_the_first_clone(&lab);
    lab.machine("one", json!({})).await;
    let failed = |task: &TaskView| task.kind == "qmclone" && task.status.as_deref().is_some_and(|end| end != "OK");
    lab.until("the first clone failed", |lab| lab.simulator.tasks().iter().any(failed)).await;
    assert!(!lab.volumes_made().is_empty(), "the failed clone left a volume");
    lab.simulator.clear_fault(stuck);
    lab.until_ready(&["one"]).await;
    lab.assert_exactly(&["one"], "with the documented rights");
    lab.until("its addresses are known", |lab| !lab.get("one").unwrap().status.unwrap().ip_addresses.is_empty()).await;
    lab.delete("one").await;
    lab.until_gone(&["one"]).await;
    lab.assert_nothing_left("with the documented rights");
    assert!(refused(&lab).is_empty(), "{:#?}", refused(&lab));
    // The cluster finds nothing missing either.
    let conditions = lab.cluster().unwrap().status.unwrap().conditions;
    assert_eq!(reason(&conditions).0, "Available", "{conditions:#?}");
    assert_eq!(conditions.len(), 1, "{conditions:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_rights_are_enough() {
    join_all([Release::V8, Release::V9].map(nothing_is_refused)).await;
}

async fn something_is_refused(release: Release, rights: Rights, privilege: String) {
    let lab = rights.without(&privilege).lab(release).await;
    if privilege == "Datastore.Allocate" {
        spoil_the_first_clone(&lab);
    }
    lab.machine("one", json!({})).await;
    lab.until(&format!("{release:?} without {privilege}: something is refused"), |lab| {
        !refused(lab).is_empty() || passed_over(lab)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn none_of_the_documented_rights_can_be_spared() {
    let privileges = |rights: &Rights| rights.roles.values().flatten().cloned().collect::<Vec<String>>();
    let [eight, nine] = [Release::V8, Release::V9].map(documented);
    let mut of_nine = privileges(&nine);
    let mut of_eight = privileges(&eight);
    of_eight.retain(|each| !of_nine.contains(each));
    of_nine.sort();
    assert!(of_nine.len() > 10 && of_eight.len() == 1, "{of_nine:?} {of_eight:?}");
    let of_nine = of_nine.into_iter().map(|each| something_is_refused(Release::V9, nine.clone(), each));
    let of_eight = of_eight.into_iter().map(|each| something_is_refused(Release::V8, eight.clone(), each));
    tokio::join!(join_all(of_nine), join_all(of_eight));
}

#[tokio::test(flavor = "multi_thread")]
async fn pools_need_a_role_more() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/install.md")).unwrap();
    let role = page.split("`pveum role add CloudFasterPools --privs \"").nth(1).expect("the page says which");
    let role = role.split('"').next().unwrap();
    let few = documented(Release::V9);
    let with = |privileges: &str| {
        let mut rights = few.clone();
        rights.roles.insert("CloudFasterPools".to_owned(), privileges.split(' ').map(str::to_owned).collect());
        let who = ["cloudfaster@pve", Scenario::TOKEN_ID];
        rights.acl.extend(who.map(|who| AclSpec::new("/pool", who, "CloudFasterPools")));
        rights
    };
    let tenants = json!([{
        "namespaceSelector": {"matchLabels": {"cloudfaster.app/tenant": "true"}}, "allow": {"pools": ["*"]},
    }]);
    for (rights, works) in [(with(role), true), (with("Pool.Audit"), false)] {
        let lab = rights.lab(Release::V9).await;
        for pool in ["first", "second"] {
            lab.simulator.add_pool(pool);
        }
        lab.patch_cluster(json!({"spec": {"tenants": tenants}})).await;
        lab.machine("one", json!({"pool": "first"})).await;
        lab.until_ready(&["one"]).await;
        lab.patch("one", json!({"spec": {"pool": "second"}})).await;
        if works {
            lab.until_ready(&["one"]).await;
            assert!(refused(&lab).is_empty(), "{:#?}", refused(&lab));
        } else {
            lab.until("it is refused", |lab| !refused(lab).is_empty()).await;
            let conditions = |lab: &Lab| lab.cluster().unwrap().status.unwrap().conditions;
            lab.until("the cluster names what is missing", |lab| {
                format!("{:?}", conditions(lab)).contains("Pool.Allocate")
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn network_cards_of_ones_own_need_one_right_more() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/install.md")).unwrap();
    let command = "pveum role modify CloudFasterMachines --append 1 --privs ";
    let more = page.split(command).nth(1).expect("the page says which").split('`').next().unwrap();
    let few = documented(Release::V9);
    let mut enough = few.clone();
    enough.roles.get_mut("CloudFasterMachines").unwrap().extend(more.split(' ').map(str::to_owned));
    let carded = json!({"nics": [{"name": "net1", "bridge": "vmbr0"}]});
    for (rights, works) in [(enough, true), (few, false)] {
        let lab = rights.lab(Release::V9).await;
        lab.patch_cluster(json!({"spec": {"tenants": open_tenants()}})).await;
        lab.machine("one", carded.clone()).await;
        if works {
            lab.until_ready(&["one"]).await;
            assert!(refused(&lab).is_empty(), "{:#?}", refused(&lab));
        } else {
            lab.until("it is refused", |lab| !refused(lab).is_empty()).await;
        }
    }
}
