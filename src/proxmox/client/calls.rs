//! The calls, one function each. `node` is always Proxmox's own name.

use reqwest::Method;
use serde::de::IgnoredAny;

use crate::proxmox::wire::{
    AgentInterfaces, ClusterStatus, ClusterTask, ClusterTasks, LogLine, PendingValue, Permissions, Resource, Storage,
    TaskStatus, Upid, Version, VmConfig, VmStatus, Vmid, Volume,
};

use super::{
    Client, CloneRequest, ConfigChange, Destroy, Endpoint, Result, Shutdown,
    form::{Params, segment},
};

/// Which of a running VM's two configurations is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigView {
    /// What is in force.
    Current,
    /// What the next boot brings.
    Pending,
}

fn node_path(node: &str, rest: &str) -> String {
    format!("/nodes/{}{rest}", segment(node))
}

fn vm_path(node: &str, vmid: Vmid, rest: &str) -> String {
    node_path(node, &format!("/qemu/{vmid}{rest}"))
}

fn task_path(upid: &Upid, rest: &str) -> String {
    let task = segment(upid.as_str());
    node_path(upid.node(), &format!("/tasks/{task}{rest}"))
}

fn content_path(node: &str, storage: &str, rest: &str) -> String {
    node_path(node, &format!("/storage/{}/content{rest}", segment(storage)))
}

impl Client {
    pub async fn version(&self) -> Result<Version> {
        self.read("/version", Params::new()).await
    }

    /// Members and quorum, as the answering node sees them.
    pub async fn cluster_status(&self) -> Result<ClusterStatus> {
        self.read("/cluster/status", Params::new()).await
    }

    /// Members and quorum, as the node behind this very endpoint sees them: all of a site's have to agree.
    pub async fn cluster_status_at(&self, endpoint: &Endpoint) -> Result<ClusterStatus> {
        self.read_at(endpoint, "/cluster/status").await
    }

    /// Guests, nodes and storages that our permissions show.
    pub async fn resources(&self) -> Result<Vec<Resource>> {
        self.read("/cluster/resources", Params::new()).await
    }

    /// Running tasks, and the latest that ended. Empty without Sys.Audit.
    pub async fn tasks(&self) -> Result<Vec<ClusterTask>> {
        let tasks: ClusterTasks = self.read("/cluster/tasks", Params::new()).await?;
        Ok(tasks.0)
    }

    /// What we are allowed to do.
    pub async fn permissions(&self) -> Result<Permissions> {
        self.read("/access/permissions", Params::new()).await
    }

    /// The storages of a node, with what can still be written to them.
    pub async fn node_storages(&self, node: &str) -> Result<Vec<Storage>> {
        self.read(&node_path(node, "/storage"), Params::new()).await
    }

    /// The volumes of a storage; of one VMID, if given.
    pub async fn storage_content(&self, node: &str, storage: &str, vmid: Option<Vmid>) -> Result<Vec<Volume>> {
        let params = Params::new().maybe("vmid", vmid);
        self.read(&content_path(node, storage, ""), params).await
    }

    /// Frees a volume (`storage:name`). Needs Datastore.Allocate.
    pub async fn delete_volume(&self, node: &str, volid: &str) -> Result<Option<Upid>> {
        let storage = volid.split(':').next().unwrap_or_default();
        let path = content_path(node, storage, &format!("/{}", segment(volid)));
        self.write(Method::DELETE, &path, Params::new()).await
    }

    pub async fn vm_config(&self, node: &str, vmid: Vmid, view: ConfigView) -> Result<VmConfig> {
        let params = Params::new().flag_if("current", view == ConfigView::Current);
        self.read(&vm_path(node, vmid, "/config"), params).await
    }

    /// Every key, with what is in force and what waits for the next boot.
    pub async fn vm_pending(&self, node: &str, vmid: Vmid) -> Result<Vec<PendingValue>> {
        self.read(&vm_path(node, vmid, "/pending"), Params::new()).await
    }

    /// Every key for cloud-init, with what its drive was made with and what it would be made with now.
    pub async fn vm_cloud_init(&self, node: &str, vmid: Vmid) -> Result<Vec<PendingValue>> {
        self.read(&vm_path(node, vmid, "/cloudinit"), Params::new()).await
    }

    pub async fn vm_status_current(&self, node: &str, vmid: Vmid) -> Result<VmStatus> {
        self.read(&vm_path(node, vmid, "/status/current"), Params::new()).await
    }

    pub async fn task_status(&self, upid: &Upid) -> Result<TaskStatus> {
        self.read(&task_path(upid, "/status"), Params::new()).await
    }

    /// Lines of a task's log, from the line `start` (from 0), at most `limit`.
    pub async fn task_log(&self, upid: &Upid, start: u64, limit: u64) -> Result<Vec<LogLine>> {
        let params = Params::new().set("start", start).set("limit", limit);
        self.read(&task_path(upid, "/log"), params).await
    }

    /// Asks a running task to end; it ends with an error. Needs to be its user, or Sys.Modify.
    pub async fn stop_task(&self, upid: &Upid) -> Result<()> {
        self.done(Method::DELETE, &task_path(upid, ""), Params::new()).await
    }

    /// Clones a template of `node`.
    pub async fn clone_vm(&self, node: &str, template: Vmid, clone: &CloneRequest) -> Result<Upid> {
        let path = vm_path(node, template, "/clone");
        self.write(Method::POST, &path, clone.params()).await
    }

    /// Changes the configuration at once, waiting for it. **Not atomic** when refused.
    pub async fn update_config(&self, node: &str, vmid: Vmid, change: &ConfigChange) -> Result<()> {
        let path = vm_path(node, vmid, "/config");
        self.done(Method::PUT, &path, change.params()).await
    }

    /// Begins a change of the configuration that may take long, as the making of a disk. **Not atomic** when refused.
    pub async fn begin_config(&self, node: &str, vmid: Vmid, change: &ConfigChange) -> Result<Upid> {
        let path = vm_path(node, vmid, "/config");
        self.write(Method::POST, &path, change.params()).await
    }

    /// Puts a VM into a pool, and takes it out of the one that it is in. Needs Pool.Allocate on both.
    pub async fn set_pool(&self, pool: &str, vmid: Vmid) -> Result<()> {
        // As a parameter, since pools can be nested: `customers/shop`.
        let params = Params::new().set("poolid", pool).set("vms", vmid).flag("allow-move", true);
        self.done(Method::PUT, "/pools", params).await
    }

    /// Grows a disk to `bytes`, an absolute size. Shrinking fails in the task.
    pub async fn resize(&self, node: &str, vmid: Vmid, disk: &str, bytes: u64) -> Result<Upid> {
        let params = Params::new().set("disk", disk).set("size", bytes);
        let path = vm_path(node, vmid, "/resize");
        self.write(Method::PUT, &path, params).await
    }

    pub async fn start(&self, node: &str, vmid: Vmid) -> Result<Upid> {
        self.power(node, vmid, "start", Params::new()).await
    }

    /// Ends the VM hard. With `overrule_shutdown`, also one whose shutdown is being waited for.
    pub async fn stop(&self, node: &str, vmid: Vmid, overrule_shutdown: bool) -> Result<Upid> {
        let params = Params::new().flag_if("overrule-shutdown", overrule_shutdown);
        self.power(node, vmid, "stop", params).await
    }

    /// Asks the guest to shut down.
    pub async fn shutdown(&self, node: &str, vmid: Vmid, how: Shutdown) -> Result<Upid> {
        let params = Params::new().maybe("timeout", how.timeout).flag_if("forceStop", how.force_stop);
        self.power(node, vmid, "shutdown", params).await
    }

    /// Pauses a running VM.
    pub async fn suspend(&self, node: &str, vmid: Vmid) -> Result<Upid> {
        self.power(node, vmid, "suspend", Params::new()).await
    }

    /// Resumes a paused VM.
    pub async fn resume(&self, node: &str, vmid: Vmid) -> Result<Upid> {
        self.power(node, vmid, "resume", Params::new()).await
    }

    /// Destroys a stopped VM and its volumes.
    pub async fn destroy(&self, node: &str, vmid: Vmid, what: Destroy) -> Result<Upid> {
        // Both are said always: the default of the second was different in older versions.
        let params =
            Params::new().flag("purge", what.purge).flag("destroy-unreferenced-disks", what.unreferenced_disks);
        let path = vm_path(node, vmid, "");
        self.write(Method::DELETE, &path, params).await
    }

    /// The guest's network interfaces. Its failure is normal until long after boot.
    pub async fn agent_interfaces(&self, node: &str, vmid: Vmid) -> Result<AgentInterfaces> {
        let path = vm_path(node, vmid, "/agent/network-get-interfaces");
        self.read(&path, Params::new()).await
    }

    async fn power(&self, node: &str, vmid: Vmid, action: &str, params: Params) -> Result<Upid> {
        let path = vm_path(node, vmid, &format!("/status/{action}"));
        self.write(Method::POST, &path, params).await
    }

    /// A write whose answer says nothing.
    async fn done(&self, method: Method, path: &str, params: Params) -> Result<()> {
        let _: IgnoredAny = self.write(method, path, params).await?;
        Ok(())
    }
}
