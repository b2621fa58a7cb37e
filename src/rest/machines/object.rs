//! The object that a request for a machine becomes, and what it keeps of the request.

use std::collections::BTreeMap;

use kube::{Resource, ResourceExt, api::ObjectMeta};
use serde_json::json;
use uuid::Uuid;

use super::request::Wanted;
use crate::{
    api::{self, ProxmoxVM, Size, common::NameRef, power::PowerState, proxmox_vm::CloudInit},
    rest::names,
};

/// The user's id, as the client wrote it.
pub const USERID: &str = "cloudfaster.app/userid";
/// The machine's name, as the old system kept it.
pub const VM_NAME: &str = "cloudfaster.app/vm-name";
/// What tells the request from another.
const WANTED: &str = "cloudfaster.app/request-hash";
/// What tells this attempt to create the object from all others.
const ATTEMPT: &str = "cloudfaster.app/request-id";
/// The label by which a request is found again that carried an idempotency key: a hash of the user and the key.
const IDEMPOTENCY: &str = "cloudfaster.app/idempotency-key";

/// So much of a hash fits into a label.
const LABEL: usize = 40;

/// An attempt to make a machine, once.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What it is made of.
    pub vm: ProxmoxVM,
    /// The selector that finds the objects of the same idempotency key, if there is one.
    pub selector: Option<String>,
}

/// How an object that is there is related to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// This very attempt made it.
    Ours,
    /// An earlier attempt of the same request made it.
    Repeated,
    /// The idempotency key was given with another request.
    KeyReused,
    /// It is another machine, of the same name.
    Other,
}

impl Attempt {
    /// An attempt to make this machine on a cluster.
    ///
    /// # Errors
    /// Never, but for a defect.
    pub fn new(wanted: &Wanted, cluster: &str, key: Option<&str>) -> Result<Self, serde_json::Error> {
        let Wanted { userid, vm_name, os, disksize, cores, memory, ssh_keys } = wanted;
        let user = names::user(userid);
        let mark = key.map(|key| names::hash(&[userid, key]).chars().take(LABEL).collect::<String>());
        let mut labels = BTreeMap::from([(api::USER.to_owned(), user)]);
        labels.extend(mark.clone().map(|mark| (IDEMPOTENCY.to_owned(), mark)));
        let annotations = [
            (USERID, userid.clone()),
            (VM_NAME, vm_name.clone()),
            (WANTED, wanted.hash()),
            (ATTEMPT, Uuid::new_v4().to_string()),
        ];
        // Everything else is as it is for those who write manifests and leave it out.
        let spec = serde_json::from_value(json!({
            "clusterRef": NameRef { name: cluster.to_owned() },
            "os": os,
            "cores": cores,
            "memory": Size::of_mebibytes(*memory),
            "disk": {"size": Size::of_mebibytes(disksize.saturating_mul(1024))},
            "cloudInit": (!ssh_keys.is_empty()).then(|| CloudInit { ssh_keys: ssh_keys.clone(), ..CloudInit::default() }),
            "powerState": PowerState::Running,
        }))?;
        let metadata = ObjectMeta {
            name: Some(names::machine(userid, vm_name)),
            labels: Some(labels),
            annotations: Some(annotations.map(|(name, value)| (name.to_owned(), value)).into()),
            ..ObjectMeta::default()
        };
        let vm = ProxmoxVM { metadata, spec, status: None };
        Ok(Self { vm, selector: mark.map(|mark| format!("{IDEMPOTENCY}={mark}")) })
    }

    /// How an object that is there is related to this attempt.
    pub fn relation(&self, found: &ProxmoxVM) -> Relation {
        let same = |name: &str| {
            let ours = self.vm.annotations().get(name);
            ours.is_some() && ours == found.annotations().get(name)
        };
        let key = self.vm.labels().get(IDEMPOTENCY);
        if same(ATTEMPT) {
            Relation::Ours
        } else if key.is_none() || key != found.labels().get(IDEMPOTENCY) {
            Relation::Other
        } else if same(WANTED) && self.vm.meta().name == found.meta().name {
            Relation::Repeated
        } else {
            Relation::KeyReused
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::proxmox_vm::Shape;

    fn wanted(vm_name: &str, cores: i64) -> Wanted {
        Wanted {
            userid: "7".into(),
            vm_name: vm_name.into(),
            os: "DEBIAN12".into(),
            disksize: 40,
            cores,
            memory: 2048,
            ssh_keys: vec![],
        }
    }

    #[test]
    fn a_request_knows_what_it_made_and_what_others_made() {
        let first = Attempt::new(&wanted("web", 2), "main", Some("k")).unwrap();
        let relation = |name, cores, key| Attempt::new(&wanted(name, cores), "main", key).unwrap().relation(&first.vm);
        assert_eq!(first.relation(&first.vm), Relation::Ours);
        assert_eq!(relation("web", 2, Some("k")), Relation::Repeated);
        assert_eq!(relation("web", 3, Some("k")), Relation::KeyReused);
        assert_eq!(relation("db", 2, Some("k")), Relation::KeyReused);
        assert_eq!(relation("web", 2, Some("other")), Relation::Other);
        assert_eq!(relation("web", 2, None), Relation::Other);
    }

    #[test]
    fn an_object_that_is_kept_says_what_was_asked_for() {
        let Attempt { vm, selector } = Attempt::new(&wanted("web", 2), "main", None).unwrap();
        let Shape { memory, disk, .. } = vm.spec.shape();
        assert_eq!(
            (memory.unwrap().to_string(), disk.unwrap().size.to_string()),
            ("2Gi".to_owned(), "40Gi".to_owned())
        );
        assert_eq!(vm.annotations()[USERID], "7");
        assert!(selector.is_none() && vm.metadata.name.unwrap().starts_with("web-"));
    }
}
