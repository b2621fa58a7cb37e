//! Has the VMIDs of a machine that goes rest: they are written down in the status of its cluster before the finalizer goes.

use jiff::Timestamp;
use kube::{Api, ResourceExt};

use super::{MachineReconciler, known_by, recorded};
use crate::{
    api::{
        ProxmoxCluster, ProxmoxVM, USER,
        proxmox_cluster::{ProxmoxClusterStatus, RestingVmid},
    },
    controller::{
        Shared,
        resting::Rest,
        run::Error,
        status::{self, to_second},
    },
    proxmox::wire::Vmid,
};

/// Others write the cluster's status, too.
const ATTEMPTS: u32 = 10;

/// Notes what the status of a cluster says of VMIDs that rest.
pub fn learn(shared: &Shared, cluster: &ProxmoxCluster) {
    for RestingVmid { vmid, owner, released } in cluster.status.iter().flat_map(|status| &status.resting_vmids) {
        if let Ok(vmid) = Vmid::try_from(*vmid) {
            let rest = Rest { cluster: cluster.name_any(), owner: owner.clone(), released: released.0 };
            shared.ledger.rest(vmid, rest);
        }
    }
}

impl MachineReconciler {
    /// Has the VMIDs of a machine that goes rest, if clients know it by them.
    pub(super) async fn put_to_rest(&self, vm: &ProxmoxVM) -> Result<(), Error> {
        let Some(owner) = vm.labels().get(USER) else { return Ok(()) };
        let name = &vm.spec.cluster_ref.name;
        let vmids = known_by(&recorded(vm));
        let released = Timestamp::now();
        for vmid in &vmids {
            let rest = Rest { cluster: name.clone(), owner: owner.clone(), released };
            self.shared.ledger.rest(*vmid, rest);
        }
        // One write is for all that wait for their turn meanwhile.
        let _turn = self.resting.lock().await;
        let clusters = Api::<ProxmoxCluster>::all(self.shared.client.clone());
        for _ in 0..ATTEMPTS {
            let Some(cluster) = clusters.get_opt(name).await? else { return Ok(()) };
            let mut told = cluster
                .status
                .clone()
                .unwrap_or_else(|| ProxmoxClusterStatus { observed_generation: -1, ..ProxmoxClusterStatus::default() });
            let known = |vmid: &Vmid| {
                let mut all = told.resting_vmids.iter();
                all.any(|one| {
                    one.vmid == i64::from(*vmid) && one.owner == *owner && one.released.0 >= to_second(released).0
                })
            };
            if vmids.iter().all(known) {
                return Ok(());
            }
            let resting = self.shared.ledger.resting(name, Timestamp::now());
            told.resting_vmids = resting
                .into_iter()
                .map(|(vmid, Rest { cluster: _, owner, released })| RestingVmid {
                    vmid: i64::from(vmid),
                    owner,
                    released: to_second(released),
                })
                .collect();
            match status::write(&clusters, &ProxmoxCluster { status: Some(told), ..cluster }).await {
                Err(kube::Error::Api(status)) if status.is_conflict() => {}
                written => return Ok(written.map(drop)?),
            }
        }
        let what = format!("the VMIDs that are released cannot be written down in the status of ProxmoxCluster {name}");
        Err(Error::Contended(what))
    }
}
