//! Which call a method and a path mean, which rights it needs, and which parameters it knows.

use super::{Answer, ApiError, Call, access, cluster, config, guests, nodes, pools, snapshots, storage, tasks};
use crate::simulator::schema::{self, Params, Property};
use crate::simulator::world::Power;

/// A call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Login,
    Permissions,
    Version,
    ClusterStatus,
    ClusterResources,
    ClusterTasks,
    NextId,
    Nodes,
    NodeStatus,
    NodeNetwork,
    Storages,
    StorageStatus,
    Content,
    ContentDelete,
    Tasks,
    TaskStatus,
    TaskLog,
    TaskStop,
    Pools,
    Pool,
    PoolCreate,
    PoolUpdate,
    PoolDelete,
    QemuList,
    Create,
    Destroy,
    ConfigGet,
    ConfigPut,
    ConfigPost,
    Pending,
    CloudInit,
    CloudInitRenew,
    Current,
    Power(Power),
    Resize,
    Clone,
    Template,
    Migrate,
    Agent,
    AgentPing,
    Snapshots,
    SnapshotCreate,
    SnapshotConfig,
    SnapshotDelete,
    SnapshotRollback,
}

/// The rights for a change of a configuration, any of which lets a call begin.
const CONFIG_RIGHTS: &[&str] = &[
    "VM.Config.Disk",
    "VM.Config.CDROM",
    "VM.Config.CPU",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.HWType",
    "VM.Config.Options",
    "VM.Config.Cloudinit",
];

/// Node, VMID and what follows them in the path.
pub(super) fn variables(segments: &[String]) -> (String, Option<String>, Vec<String>) {
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    match words.as_slice() {
        ["nodes", node, "qemu", vmid, rest @ ..] => ((*node).into(), Some((*vmid).into()), owned(rest)),
        ["nodes", node, _, rest @ ..] => ((*node).into(), None, owned(rest)),
        ["nodes", node] => ((*node).into(), None, Vec::new()),
        [_, rest @ ..] => (String::new(), None, owned(rest)),
        [] => (String::new(), None, Vec::new()),
    }
}

impl Route {
    pub fn find(method: &str, segments: &[String]) -> Option<Self> {
        let words: Vec<&str> = segments.iter().map(String::as_str).collect();
        if let ["nodes", _, "qemu", vmid, rest @ ..] = words.as_slice()
            && !vmid.is_empty()
        {
            return Self::of_guest(method, rest);
        }
        Some(match (method, words.as_slice()) {
            ("POST", ["access", "ticket"]) => Self::Login,
            ("GET", ["access", "permissions"]) => Self::Permissions,
            ("GET", ["version"]) => Self::Version,
            ("GET", ["cluster", "status"]) => Self::ClusterStatus,
            ("GET", ["cluster", "resources"]) => Self::ClusterResources,
            ("GET", ["cluster", "tasks"]) => Self::ClusterTasks,
            ("GET", ["cluster", "nextid"]) => Self::NextId,
            ("GET", ["nodes"]) => Self::Nodes,
            ("GET", ["nodes", _, "status"]) => Self::NodeStatus,
            ("GET", ["nodes", _, "version"]) => Self::Version,
            ("GET", ["nodes", _, "network"]) => Self::NodeNetwork,
            ("GET", ["nodes", _, "storage"]) => Self::Storages,
            ("GET", ["nodes", _, "storage", _, "status"]) => Self::StorageStatus,
            ("GET", ["nodes", _, "storage", _, "content"]) => Self::Content,
            ("DELETE", ["nodes", _, "storage", _, "content", _, ..]) => Self::ContentDelete,
            ("GET", ["nodes", _, "tasks"]) => Self::Tasks,
            ("GET", ["nodes", _, "tasks", _, "status"]) => Self::TaskStatus,
            ("GET", ["nodes", _, "tasks", _, "log"]) => Self::TaskLog,
            ("DELETE", ["nodes", _, "tasks", _]) => Self::TaskStop,
            ("GET", ["nodes", _, "qemu"]) => Self::QemuList,
            ("POST", ["nodes", _, "qemu"]) => Self::Create,
            ("GET", ["pools"]) => Self::Pools,
            ("POST", ["pools"]) => Self::PoolCreate,
            ("GET", ["pools", _]) => Self::Pool,
            ("PUT", ["pools"] | ["pools", _]) => Self::PoolUpdate,
            ("DELETE", ["pools", _]) => Self::PoolDelete,
            _ => return None,
        })
    }

    fn of_guest(method: &str, rest: &[&str]) -> Option<Self> {
        Some(match (method, rest) {
            ("DELETE", []) => Self::Destroy,
            ("GET", ["config"]) => Self::ConfigGet,
            ("PUT", ["config"]) => Self::ConfigPut,
            ("POST", ["config"]) => Self::ConfigPost,
            ("GET", ["pending"]) => Self::Pending,
            ("GET", ["cloudinit"]) => Self::CloudInit,
            ("PUT", ["cloudinit"]) => Self::CloudInitRenew,
            ("GET", ["status", "current"]) => Self::Current,
            ("POST", ["status", word]) => Self::Power(Power::parse(word)?),
            ("PUT", ["resize"]) => Self::Resize,
            ("POST", ["clone"]) => Self::Clone,
            ("POST", ["template"]) => Self::Template,
            ("POST", ["migrate"]) => Self::Migrate,
            ("GET", ["agent", "network-get-interfaces"]) => Self::Agent,
            ("POST", ["agent", "ping"]) => Self::AgentPing,
            ("GET", ["snapshot"]) => Self::Snapshots,
            ("POST", ["snapshot"]) => Self::SnapshotCreate,
            ("GET", ["snapshot", _, "config"]) => Self::SnapshotConfig,
            ("DELETE", ["snapshot", _]) => Self::SnapshotDelete,
            ("POST", ["snapshot", _, "rollback"]) => Self::SnapshotRollback,
            _ => return None,
        })
    }

    pub fn is_on_a_node(self) -> bool {
        !matches!(
            self,
            Self::Login
                | Self::Permissions
                | Self::Version
                | Self::ClusterStatus
                | Self::ClusterResources
                | Self::ClusterTasks
                | Self::NextId
                | Self::Nodes
                | Self::Pools
                | Self::Pool
                | Self::PoolCreate
                | Self::PoolUpdate
                | Self::PoolDelete
        )
    }

    /// Whether the call is done by the privileged daemon behind the proxy.
    pub fn needs_daemon(self) -> bool {
        !matches!(self, Self::NodeStatus | Self::ConfigGet | Self::Pending | Self::Tasks | Self::TaskStatus)
    }

    pub fn schema(self) -> &'static [Property] {
        match self {
            Self::Login => schema::LOGIN,
            Self::Permissions => schema::PERMISSIONS,
            Self::ClusterResources => schema::CLUSTER_RESOURCES,
            Self::NextId => schema::NEXT_ID,
            Self::Storages => schema::STORAGE_LIST,
            Self::Content => schema::CONTENT_LIST,
            Self::ContentDelete => schema::CONTENT_DELETE,
            Self::Tasks => schema::TASK_LIST,
            Self::TaskStatus => schema::TASK_STATUS,
            Self::TaskLog => schema::TASK_LOG,
            Self::Pools | Self::Pool => schema::POOL,
            Self::PoolCreate => schema::POOL_CREATE,
            Self::PoolUpdate => schema::POOL_UPDATE,
            Self::QemuList => schema::QEMU_LIST,
            Self::Create => schema::CREATE,
            Self::Destroy => schema::DESTROY,
            Self::ConfigGet => schema::CONFIG_GET,
            Self::ConfigPut | Self::ConfigPost => schema::CONFIG_WRITE,
            Self::Pending => schema::PENDING,
            Self::Power(Power::Start) => schema::START,
            Self::Power(Power::Stop) => schema::STOP,
            Self::Power(Power::Shutdown) => schema::SHUTDOWN,
            Self::Power(Power::Reboot) => schema::REBOOT,
            Self::Power(Power::Suspend) => schema::SUSPEND,
            Self::Power(Power::Resume) => schema::RESUME,
            Self::Power(Power::Reset) => schema::STATUS_CHANGE,
            Self::Resize => schema::RESIZE,
            Self::Clone => schema::CLONE,
            Self::Template => schema::TEMPLATE,
            Self::Migrate => schema::MIGRATE,
            Self::SnapshotCreate => schema::SNAPSHOT,
            Self::SnapshotDelete => schema::SNAPSHOT_DELETE,
            Self::SnapshotRollback => schema::SNAPSHOT_ROLLBACK,
            Self::Version
            | Self::ClusterStatus
            | Self::ClusterTasks
            | Self::Nodes
            | Self::NodeStatus
            | Self::NodeNetwork
            | Self::StorageStatus
            | Self::TaskStop
            | Self::PoolDelete
            | Self::CloudInit
            | Self::CloudInitRenew
            | Self::Current
            | Self::Agent
            | Self::AgentPing
            | Self::Snapshots
            | Self::SnapshotConfig => schema::NONE,
        }
    }

    /// The rights that Proxmox checks before it looks at the parameters.
    pub fn check_rights(self, call: &Call<'_>, vmid: Option<&str>, params: &Params) -> Result<(), ApiError> {
        let vm = format!("/vms/{}", vmid.unwrap_or_default());
        let node = format!("/nodes/{}", call.node);
        match self {
            Self::NodeStatus => call.require(&node, "Sys.Audit"),
            Self::ClusterStatus => call.require("/", "Sys.Audit"),
            Self::StorageStatus | Self::Content => {
                let path = format!("/storage/{}", call.rest.first().map_or("", String::as_str));
                call.require_any(&path, &["Datastore.Audit", "Datastore.AllocateSpace"])
            }
            Self::ConfigGet
            | Self::Pending
            | Self::CloudInit
            | Self::Current
            | Self::Snapshots
            | Self::SnapshotConfig => call.require(&vm, "VM.Audit"),
            Self::ConfigPut | Self::ConfigPost => call.require_any(&vm, CONFIG_RIGHTS),
            Self::CloudInitRenew => call.require(&vm, "VM.Config.Cloudinit"),
            Self::Power(_) => call.require(&vm, "VM.PowerMgmt"),
            Self::Resize => call.require(&vm, "VM.Config.Disk"),
            Self::Destroy | Self::Template => call.require(&vm, "VM.Allocate"),
            Self::Migrate => call.require(&vm, "VM.Migrate"),
            Self::SnapshotCreate | Self::SnapshotDelete | Self::SnapshotRollback => call.require(&vm, "VM.Snapshot"),
            Self::Agent | Self::AgentPing if call.world.is_v9() => {
                call.require_any(&vm, &["VM.GuestAgent.Audit", "VM.GuestAgent.Unrestricted"])
            }
            Self::Agent | Self::AgentPing => call.require(&vm, "VM.Monitor"),
            Self::PoolCreate => {
                let pool = params.get("poolid").unwrap_or_default();
                call.require(&format!("/pool/{pool}"), "Pool.Allocate")
            }
            Self::Clone => {
                call.require(&vm, "VM.Clone")?;
                call.may_allocate(params.get("newid"), params.get("pool"))
            }
            Self::Create => call.may_allocate(params.get("vmid"), params.get("pool")),
            _ => Ok(()),
        }
    }

    pub fn call(self, call: &mut Call<'_>) -> Answer {
        match self {
            Self::Login => access::login(call),
            Self::Permissions => access::permissions(call),
            Self::Version => cluster::version(call),
            Self::ClusterStatus => cluster::status(call),
            Self::ClusterResources => cluster::resources(call),
            Self::ClusterTasks => cluster::tasks(call),
            Self::NextId => cluster::next_id(call),
            Self::Nodes => nodes::list(call),
            Self::NodeStatus => nodes::status(call),
            Self::NodeNetwork => Ok(nodes::network(call)),
            Self::Storages => storage::list(call),
            Self::StorageStatus => storage::status(call),
            Self::Content => storage::content(call),
            Self::ContentDelete => storage::delete(call),
            Self::Tasks => tasks::list(call),
            Self::TaskStatus => tasks::status(call),
            Self::TaskLog => tasks::log(call),
            Self::TaskStop => tasks::stop(call),
            Self::Pools => pools::list(call),
            Self::Pool => pools::get(call),
            Self::PoolCreate => pools::create(call),
            Self::PoolUpdate => pools::update(call),
            Self::PoolDelete => pools::delete(call),
            Self::QemuList => guests::list(call),
            Self::Create => guests::create(call),
            Self::Destroy => guests::destroy(call),
            Self::ConfigGet => config::get(call),
            Self::ConfigPut => config::put(call),
            Self::ConfigPost => config::post(call),
            Self::Pending => config::pending(call),
            Self::CloudInit => config::cloud_init(call),
            Self::CloudInitRenew => config::renew_cloud_init(call),
            Self::Current => guests::current(call),
            Self::Power(power) => guests::power(call, power),
            Self::Resize => guests::resize(call),
            Self::Clone => guests::clone(call),
            Self::Template => guests::template(call),
            Self::Migrate => guests::migrate(call),
            Self::Agent => guests::agent(call, true),
            Self::AgentPing => guests::agent(call, false),
            Self::Snapshots => snapshots::list(call),
            Self::SnapshotCreate => snapshots::create(call),
            Self::SnapshotConfig => snapshots::config(call),
            Self::SnapshotDelete => snapshots::delete(call),
            Self::SnapshotRollback => snapshots::rollback(call),
        }
    }
}
