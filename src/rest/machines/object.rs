//! The object that a request for a machine becomes, and what it keeps of the request.

use serde_json::json;

use super::request::Wanted;
use crate::{
    api::{ProxmoxVM, Size, common::NameRef, power::PowerState, proxmox_vm::CloudInit},
    rest::{
        attempt::{Asked, Attempt},
        names,
    },
};

/// The machine's name, as the old system kept it.
pub const VM_NAME: &str = "cloudfaster.app/vm-name";

/// An attempt to make this machine on a cluster.
///
/// # Errors
/// Never, but for a defect.
pub fn attempt(wanted: &Wanted, cluster: &str, key: Option<&str>) -> Result<Attempt<ProxmoxVM>, serde_json::Error> {
    let Wanted { userid, vm_name, os, disksize, cores, memory, ssh_keys } = wanted;
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
    let mut vm = ProxmoxVM::new(&names::machine(userid, vm_name), spec);
    vm.metadata.annotations = Some([(VM_NAME.to_owned(), vm_name.clone())].into());
    Ok(Attempt::new(vm, Asked { userid, hash: &wanted.hash(), key }))
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt;

    use super::*;
    use crate::{
        api::proxmox_vm::Shape,
        rest::attempt::{Relation, USERID},
    };

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
        let first = attempt(&wanted("web", 2), "main", Some("k")).unwrap();
        let relation = |name, cores, key| attempt(&wanted(name, cores), "main", key).unwrap().relation(&first.object);
        assert_eq!(first.relation(&first.object), Relation::Ours);
        assert_eq!(relation("web", 2, Some("k")), Relation::Repeated);
        assert_eq!(relation("web", 3, Some("k")), Relation::KeyReused);
        assert_eq!(relation("db", 2, Some("k")), Relation::KeyReused);
        assert_eq!(relation("web", 2, Some("other")), Relation::Other);
        assert_eq!(relation("web", 2, None), Relation::Other);
    }

    #[test]
    fn an_object_that_is_kept_says_what_was_asked_for() {
        let Attempt { object: vm, key: _, selector } = attempt(&wanted("web", 2), "main", None).unwrap();
        let Shape { memory, disk, .. } = vm.spec.shape();
        assert_eq!(
            (memory.unwrap().to_string(), disk.unwrap().size.to_string()),
            ("2Gi".to_owned(), "40Gi".to_owned())
        );
        assert_eq!(vm.annotations()[USERID], "7");
        assert!(selector.is_none() && vm.metadata.name.unwrap().starts_with("web-"));
    }
}
