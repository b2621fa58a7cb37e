//! What the credentials have to be allowed in Proxmox, and what of it they are not.

use std::fmt;

use super::wire::Permissions;

/// A right that the operator needs.
struct Need {
    /// Where: the path that covers everything of its kind.
    path: &'static str,
    privileges: &'static [&'static str],
    /// Whether no machine can be made without it.
    required: bool,
    /// Which major versions of Proxmox know it.
    versions: std::ops::RangeInclusive<u32>,
}

const ANY: std::ops::RangeInclusive<u32> = 0..=u32::MAX;

const NEEDS: &[Need] = &[
    // Tasks, nodes and quorum.
    Need { path: "/", privileges: &["Sys.Audit"], required: true, versions: ANY },
    Need {
        path: "/vms",
        privileges: &[
            "VM.Allocate",
            "VM.Audit",
            "VM.Clone",
            "VM.Config.CPU",
            "VM.Config.Cloudinit",
            "VM.Config.Disk",
            "VM.Config.HWType",
            "VM.Config.Memory",
            "VM.Config.Network",
            "VM.Config.Options",
            "VM.PowerMgmt",
        ],
        required: true,
        versions: ANY,
    },
    Need {
        path: "/storage",
        privileges: &["Datastore.AllocateSpace", "Datastore.Audit"],
        required: true,
        versions: ANY,
    },
    Need { path: "/sdn", privileges: &["SDN.Use"], required: true, versions: ANY },
    // Volumes that a failed clone left.
    Need { path: "/storage", privileges: &["Datastore.Allocate"], required: false, versions: ANY },
    // The addresses that guests report.
    Need { path: "/vms", privileges: &["VM.Monitor"], required: false, versions: 0..=8 },
    Need { path: "/vms", privileges: &["VM.GuestAgent.Audit"], required: false, versions: 9..=u32::MAX },
];

/// Privileges for pools, if machines may be put into some.
const POOLS: Need = Need { path: "/pool", privileges: &["Pool.Allocate", "Pool.Audit"], required: true, versions: ANY };

/// What is missing on a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The path.
    pub path: &'static str,
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
        let Self { path, all, required: _, wanted: _ } = self;
        let role = format!("CloudFaster{}", path.replace('/', "-"));
        let role = role.trim_end_matches('-');
        let all = all.join(",");
        let user = who.split('!').next().unwrap_or(who);
        let token = if user == who { String::new() } else { format!(" --tokens '{who}'") };
        format!(
            "pveum role add {role} --privs {all} || pveum role modify {role} --privs {all}; \
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

/// What is missing of all that the operator needs, by `/access/permissions` of a Proxmox of this version (`9.2.11`).
///
/// A right on some part below a path counts: an administrator may give out parts alone, and which of them are used only
/// the calls themselves show.
pub fn missing(permissions: &Permissions, version: Option<&str>, pools: bool) -> Vec<Missing> {
    let major: Option<u32> = version.and_then(|version| version.split('.').next()?.parse().ok());
    let mut paths: Vec<Missing> = Vec::new();
    for Need { path, privileges, required, versions } in NEEDS.iter().chain(pools.then_some(&POOLS)) {
        if !major.is_some_and(|major| versions.contains(&major)) && *versions != ANY {
            continue;
        }
        let at = paths.iter().position(|known| known.path == *path).unwrap_or_else(|| {
            paths.push(Missing { path, required: Vec::new(), wanted: Vec::new(), all: Vec::new() });
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

/// Whether a privilege is there: on a path above or on it and handed down, or somewhere below it.
fn has(permissions: &Permissions, path: &str, privilege: &str) -> bool {
    let below = |other: &str| path == "/" || other.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
    permissions.iter().any(|(other, privileges)| {
        let Some(handed_down) = privileges.get(privilege) else { return false };
        match other.as_str() {
            // What is read there is read of the whole cluster.
            "/" => path == "/" || is_true(handed_down),
            same if same == path => is_true(handed_down),
            // The cluster's own list of tasks needs it on the root itself.
            other => path != "/" && below(other),
        }
    })
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

    fn told(permissions: serde_json::Value, version: &str) -> Vec<String> {
        let permissions: Permissions = serde_json::from_value(permissions).unwrap();
        missing(&permissions, Some(version), false).iter().map(Missing::to_string).collect()
    }

    /// What the tests' operator role has, on a path and handed down or not.
    fn operator(path: &str, handed_down: u8, without: &[&str]) -> serde_json::Value {
        let all = NEEDS.iter().flat_map(|need| need.privileges).filter(|privilege| !without.contains(*privilege));
        let privileges: serde_json::Map<String, serde_json::Value> =
            all.map(|privilege| ((*privilege).to_owned(), json!(handed_down))).collect();
        json!({path: privileges})
    }

    #[test]
    fn an_operators_role_on_the_root_lacks_nothing() {
        assert_eq!(told(operator("/", 1, &[]), "9.2.11"), [""; 0]);
        assert_eq!(told(operator("/", 1, &["VM.Monitor"]), "9.2.11"), [""; 0]);
        assert_eq!(told(operator("/", 1, &["VM.GuestAgent.Audit"]), "8.4.1"), [""; 0]);
    }

    #[test]
    fn what_is_missing_is_named_with_its_path() {
        let without = ["VM.Clone", "VM.PowerMgmt", "SDN.Use", "Datastore.Allocate", "VM.GuestAgent.Audit"];
        assert_eq!(
            told(operator("/", 1, &without), "9.0"),
            [
                "VM.Clone, VM.PowerMgmt, VM.GuestAgent.Audit on /vms",
                "Datastore.Allocate on /storage",
                "SDN.Use on /sdn",
            ]
        );
        assert_eq!(told(json!({}), "9.0").len(), 4);
    }

    #[test]
    fn a_right_that_is_not_handed_down_is_none_below() {
        let told = told(operator("/", 0, &[]), "9.0");
        assert!(told.iter().all(|missing| !missing.contains("Sys.Audit")), "{told:?}");
        assert!(told.iter().any(|missing| missing.contains("VM.Audit")), "{told:?}");
    }

    #[test]
    fn rights_on_parts_count() {
        let permissions = json!({
            "/": {"Sys.Audit": 1},
            "/vms": operator("/", 1, &[])["/"],
            "/storage/local-lvm": {"Datastore.Audit": 1, "Datastore.AllocateSpace": 1, "Datastore.Allocate": 1},
            "/sdn/zones/localnetwork": {"SDN.Use": 1},
        });
        assert_eq!(told(permissions.clone(), "9.0"), [""; 0]);
        let mut elsewhere = permissions;
        elsewhere["/nodes/a"] = elsewhere["/"].take();
        assert_eq!(told(elsewhere, "9.0"), ["Sys.Audit on /"]);
    }

    #[test]
    fn pools_need_rights_only_where_they_are_used() {
        let permissions: Permissions = serde_json::from_value(operator("/", 1, &[])).unwrap();
        assert!(missing(&permissions, Some("9.0"), false).is_empty());
        let told: Vec<_> = missing(&permissions, Some("9.0"), true).iter().map(Missing::to_string).collect();
        assert_eq!(told, ["Pool.Allocate, Pool.Audit on /pool"]);
    }

    #[test]
    fn the_command_gives_all_that_the_path_needs_to_the_token_and_its_user() {
        let permissions: Permissions =
            serde_json::from_value(operator("/", 1, &["SDN.Use", "Datastore.Audit"])).unwrap();
        let missing = missing(&permissions, Some("9.0"), false);
        let commands: Vec<_> = missing.iter().map(|missing| missing.command("op@pve!full")).collect();
        let storage = "Datastore.AllocateSpace,Datastore.Audit,Datastore.Allocate";
        assert_eq!(
            commands,
            [
                format!(
                    "pveum role add CloudFaster-storage --privs {storage} || pveum role modify CloudFaster-storage --privs \
                     {storage}; pveum acl modify /storage --roles CloudFaster-storage --users 'op@pve' --tokens 'op@pve!full'"
                ),
                "pveum role add CloudFaster-sdn --privs SDN.Use || pveum role modify CloudFaster-sdn --privs SDN.Use; \
                 pveum acl modify /sdn --roles CloudFaster-sdn --users 'op@pve' --tokens 'op@pve!full'"
                    .to_owned(),
            ]
        );
        assert!(missing[0].command("op@pve").ends_with("--users 'op@pve'"));
    }
}
