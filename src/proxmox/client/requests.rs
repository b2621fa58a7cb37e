//! What the writing calls take.

use crate::proxmox::wire::Vmid;

use super::form::Params;

/// A clone of a template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloneRequest {
    pub new_id: Vmid,
    pub name: String,
    /// Goes into the clone's notes as soon as its first drive is copied.
    pub description: String,
    /// All data copied (true), or only what differs from the template stored (false).
    pub full: bool,
    /// Where the copied disks go; not allowed for linked clones.
    pub storage: Option<String>,
    /// Proxmox's own name of the node that gets it; needs shared storage.
    pub target: Option<String>,
    pub pool: Option<String>,
    /// `raw`, `qcow2`, `vmdk`; only for full clones to file storages.
    pub format: Option<String>,
    /// KiB/s.
    pub bandwidth_limit: Option<u64>,
}

impl CloneRequest {
    pub(super) fn params(&self) -> Params {
        let Self { new_id, name, description, full, storage, target, pool, format, bandwidth_limit } = self;
        let given = |text: &String| (!text.is_empty()).then(|| text.clone());
        Params::new()
            .set("newid", new_id)
            .maybe("name", given(name))
            .maybe("description", given(description))
            .flag("full", *full)
            .maybe("storage", storage.as_ref())
            .maybe("target", target.as_ref())
            .maybe("pool", pool.as_ref())
            .maybe("format", format.as_ref())
            .maybe("bwlimit", bandwidth_limit.as_ref())
    }
}

/// A change of a VM's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigChange {
    /// Keys and values, in the order sent. `sshkeys` as [`super::encode_ssh_keys`] makes it.
    pub set: Vec<(String, String)>,
    /// Keys to remove. A drive that is removed becomes `unusedN`.
    pub delete: Vec<String>,
    /// Keys whose pending change is dropped.
    pub revert: Vec<String>,
    /// The digest of the configuration that the change was made for.
    pub digest: Option<String>,
}

impl ConfigChange {
    /// Whether it says nothing, which Proxmox refuses.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.delete.is_empty() && self.revert.is_empty()
    }

    pub(super) fn params(&self) -> Params {
        let Self { set, delete, revert, digest } = self;
        let list = |keys: &[String]| (!keys.is_empty()).then(|| keys.join(","));
        set.iter()
            .fold(Params::new(), |params, (key, value)| params.set(key, value))
            .maybe("delete", list(delete))
            .maybe("revert", list(revert))
            .maybe("digest", digest.as_ref())
    }
}

/// How a guest is asked to shut down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shutdown {
    /// Seconds until the task gives up.
    pub timeout: Option<u64>,
    /// End it hard when the time is over.
    pub force_stop: bool,
}

/// What goes with a VM that is destroyed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Destroy {
    /// Remove it from backup jobs, replication and high availability too.
    pub purge: bool,
    /// Remove **every** volume that carries its VMID, also another cluster's on a shared storage.
    pub unreferenced_disks: bool,
}
