//! What the credentials have to be allowed in Proxmox, and what of it they are not.

use std::fmt;

use super::wire::Permissions;

/// A right that the operator needs.
struct Need {
    /// Where: the path that covers everything of its kind, and the role that `docs/install.md` gives there.
    at: (&'static str, &'static str),
    privileges: &'static [&'static str],
    /// Whether no machine can be made without it.
    required: bool,
    /// For whom it is needed.
    of: fn(&Use) -> bool,
}

/// What the credentials are used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// Proxmox's major version, if it is known.
    pub major: Option<u32>,
    /// Machines may be put into pools.
    pub pools: bool,
    /// Machines may have network cards and addresses of their own.
    pub networks: bool,
}

const SYSTEM: (&str, &str) = ("/", "CloudFasterSystem");
const MACHINES: (&str, &str) = ("/vms", "CloudFasterMachines");
const STORAGE: (&str, &str) = ("/storage", "CloudFasterStorage");
const NETWORK: (&str, &str) = ("/sdn/zones", "CloudFasterNetwork");
const POOLS: (&str, &str) = ("/pool", "CloudFasterPools");

const NEEDS: &[Need] = &[
    // Tasks, nodes and quorum.
    Need { at: SYSTEM, privileges: &["Sys.Audit"], required: true, of: |_| true },
    Need {
        at: MACHINES,
        privileges: &[
            "VM.Allocate",
            "VM.Audit",
            "VM.Clone",
            "VM.Config.CPU",
            "VM.Config.Cloudinit",
            "VM.Config.Disk",
            "VM.Config.HWType",
            "VM.Config.Memory",
            "VM.Config.Options",
            "VM.PowerMgmt",
        ],
        required: true,
        of: |_| true,
    },
    Need { at: MACHINES, privileges: &["VM.Config.Network"], required: true, of: |used| used.networks },
    Need { at: STORAGE, privileges: &["Datastore.AllocateSpace", "Datastore.Audit"], required: true, of: |_| true },
    Need { at: NETWORK, privileges: &["SDN.Use"], required: true, of: |_| true },
    Need { at: POOLS, privileges: &["Pool.Allocate", "Pool.Audit"], required: true, of: |used| used.pools },
    // Volumes that a failed clone left.
    Need { at: STORAGE, privileges: &["Datastore.Allocate"], required: false, of: |_| true },
    // The addresses that guests report.
    Need {
        at: MACHINES,
        privileges: &["VM.Monitor"],
        required: false,
        of: |used| used.major.is_some_and(|it| it <= 8),
    },
    Need {
        at: MACHINES,
        privileges: &["VM.GuestAgent.Audit"],
        required: false,
        of: |used| used.major.is_some_and(|it| it >= 9),
    },
];

/// What is missing on a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The path.
    pub path: &'static str,
    role: &'static str,
    /// Privileges without which no machine can be made.
    pub required: Vec<&'static str>,
    /// Privileges without which something lesser cannot be done.
    pub wanted: Vec<&'static str>,
    /// All that the operator needs there.
    all: Vec<&'static str>,
}

impl Missing {
    /// What root types on a node to give it: everything for that path, since an entry for it hides what the paths above
    /// hand down. A token with privilege separation has what both it and its user have.
    pub fn command(&self, who: &str) -> String {
        let Self { path, role, all, required: _, wanted: _ } = self;
        let all = all.join(" ");
        let user = who.split('!').next().unwrap_or(who);
        let token = if user == who { String::new() } else { format!(" --tokens '{who}'") };
        format!(
            "pveum role add {role} --privs \"{all}\" || pveum role modify {role} --privs \"{all}\"; \
             pveum acl modify {path} --roles {role} --users '{user}'{token}"
        )
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let privileges: Vec<_> = self.required.iter().chain(&self.wanted).copied().collect();
        write!(f, "{} on {}", privileges.join(", "), self.path)
    }
}

/// What is missing of all that the operator needs, by `/access/permissions`.
///
/// A right on some part below a path counts: an administrator may give out parts alone, and which of them are used only
/// the calls themselves show.
pub fn missing(permissions: &Permissions, used: &Use) -> Vec<Missing> {
    let mut paths: Vec<Missing> = Vec::new();
    for Need { at: (path, role), privileges, required, of } in NEEDS {
        if !of(used) {
            continue;
        }
        let at = paths.iter().position(|known| known.path == *path).unwrap_or_else(|| {
            paths.push(Missing { path, role, required: Vec::new(), wanted: Vec::new(), all: Vec::new() });
            paths.len().saturating_sub(1)
        });
        let Some(entry) = paths.get_mut(at) else { continue };
        entry.all.extend(*privileges);
        let lacking = privileges.iter().copied().filter(|privilege| !has(permissions, path, privilege));
        if *required { entry.required.extend(lacking) } else { entry.wanted.extend(lacking) }
    }
    paths.retain(|entry| !entry.required.is_empty() || !entry.wanted.is_empty());
    paths
}

/// Whether a privilege is there: by the nearest path that says something of it, or somewhere below.
fn has(permissions: &Permissions, path: &str, privilege: &str) -> bool {
    let is_within = |inner: &str, outer: &str| {
        outer == "/" || inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let nearest = permissions.iter().filter(|(other, _)| is_within(path, other)).max_by_key(|(other, _)| other.len());
    let here = nearest.and_then(|(other, privileges)| Some((other, privileges.get(privilege)?)));
    // What is asked of the root itself need not be handed down from there.
    let here = here.is_some_and(|(other, handed_down)| (path == "/" && other == "/") || is_true(handed_down));
    // The cluster's own lists need it on the root itself.
    let below = |other: &str| path != "/" && other != path && is_within(other, path);
    here || permissions.iter().any(|(other, privileges)| below(other) && privileges.contains_key(privilege))
}

fn is_true(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Bool(flag) => *flag,
        serde_json::Value::Number(number) => number.as_f64() != Some(0.0),
        serde_json::Value::String(text) => !matches!(text.as_str(), "" | "0"),
        serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NINE: Use = Use { major: Some(9), pools: false, networks: false };

    fn told(permissions: serde_json::Value, used: Use) -> Vec<String> {
        let permissions: Permissions = serde_json::from_value(permissions).unwrap();
        missing(&permissions, &used).iter().map(Missing::to_string).collect()
    }

    /// All that is ever needed but some, on a path and handed down or not.
    fn operator(path: &str, handed_down: u8, without: &[&str]) -> serde_json::Value {
        let all = NEEDS.iter().flat_map(|need| need.privileges).filter(|privilege| !without.contains(*privilege));
        let privileges: serde_json::Map<String, serde_json::Value> =
            all.map(|privilege| ((*privilege).to_owned(), json!(handed_down))).collect();
        json!({path: privileges})
    }

    #[test]
    fn an_operators_role_on_the_root_lacks_nothing() {
        let all = Use { pools: true, networks: true, ..NINE };
        assert_eq!(told(operator("/", 1, &[]), all), [""; 0]);
        assert_eq!(told(operator("/", 1, &["VM.Monitor"]), NINE), [""; 0]);
        assert_eq!(told(operator("/", 1, &["VM.GuestAgent.Audit"]), Use { major: Some(8), ..NINE }), [""; 0]);
    }

    #[test]
    fn what_is_missing_is_named_with_its_path() {
        let without = ["VM.Clone", "VM.PowerMgmt", "SDN.Use", "Datastore.Allocate", "VM.GuestAgent.Audit"];
        assert_eq!(
            told(operator("/", 1, &without), NINE),
            [
                "VM.Clone, VM.PowerMgmt, VM.GuestAgent.Audit on /vms",
                "Datastore.Allocate on /storage",
                "SDN.Use on /sdn/zones",
            ]
        );
        assert_eq!(told(json!({}), NINE).len(), 4);
    }

    #[test]
    fn what_only_some_use_is_needed_only_there() {
        let without = ["Pool.Allocate", "VM.Config.Network"];
        assert_eq!(told(operator("/", 1, &without), NINE), [""; 0]);
        let all = Use { pools: true, networks: true, ..NINE };
        assert_eq!(told(operator("/", 1, &without), all), ["VM.Config.Network on /vms", "Pool.Allocate on /pool"]);
    }

    #[test]
    fn a_right_that_is_not_handed_down_is_none_below() {
        let told = told(operator("/", 0, &[]), NINE);
        assert!(told.iter().all(|missing| !missing.contains("Sys.Audit")), "{told:?}");
        assert!(told.iter().any(|missing| missing.contains("VM.Audit")), "{told:?}");
    }

    #[test]
    fn an_entry_for_a_path_hides_what_is_handed_down_to_it() {
        let mut permissions = operator("/", 1, &[]);
        permissions["/storage"] = json!({"Datastore.Audit": 1});
        assert_eq!(told(permissions, NINE), ["Datastore.AllocateSpace, Datastore.Allocate on /storage"]);
    }

    #[test]
    fn rights_on_parts_count() {
        let permissions = json!({
            "/": {"Sys.Audit": 1},
            "/vms": operator("/", 1, &[])["/"],
            "/storage/local-lvm": {"Datastore.Audit": 1, "Datastore.AllocateSpace": 1, "Datastore.Allocate": 1},
            "/sdn/zones/localnetwork": {"SDN.Use": 1},
        });
        assert_eq!(told(permissions.clone(), NINE), [""; 0]);
        let mut elsewhere = permissions;
        let root = elsewhere.as_object_mut().unwrap().remove("/").unwrap();
        elsewhere["/nodes/a"] = root;
        assert_eq!(told(elsewhere, NINE), ["Sys.Audit on /"]);
    }

    #[test]
    fn the_command_gives_all_that_the_path_needs_to_the_token_and_its_user() {
        let permissions: Permissions =
            serde_json::from_value(operator("/", 1, &["SDN.Use", "Datastore.Audit"])).unwrap();
        let missing = missing(&permissions, &NINE);
        let commands: Vec<_> = missing.iter().map(|missing| missing.command("op@pve!full")).collect();
        let storage = "\"Datastore.AllocateSpace Datastore.Audit Datastore.Allocate\"";
        assert_eq!(
            commands,
            [
                format!(
                    "pveum role add CloudFasterStorage --privs {storage} || pveum role modify CloudFasterStorage --privs \
                     {storage}; pveum acl modify /storage --roles CloudFasterStorage --users 'op@pve' --tokens 'op@pve!full'"
                ),
                "pveum role add CloudFasterNetwork --privs \"SDN.Use\" || pveum role modify CloudFasterNetwork --privs \
                 \"SDN.Use\"; pveum acl modify /sdn/zones --roles CloudFasterNetwork --users 'op@pve' --tokens 'op@pve!full'"
                    .to_owned(),
            ]
        );
        assert!(missing[0].command("op@pve").ends_with("--users 'op@pve'"));
    }
}
