//! What the controller and the REST shim asked of the real API server in the whole suite, against what the shipped manifests
//! let them ask.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    process::Command,
};

use serde_json::Value;

use crate::support::plane::{ACCOUNT, OPERATOR, REST};

/// The accounts, their namespaces, and the manifests that give them rights.
const ACCOUNTS: [(&str, &str, &str); 2] =
    [(ACCOUNT, OPERATOR, "manifests/base"), (REST, REST, "manifests/overlays/rest")];

/// The right to do something to something, and the role that gives it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    role: String,
    /// `group/resource/subresource`.
    resource: String,
    verb: String,
}

/// Where the API servers of this run leave their logs when they end.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("audit")
}

/// Forgets what an earlier run left.
pub fn begin() {
    let _ = std::fs::remove_dir_all(folder());
    std::fs::create_dir_all(folder()).expect("the folder for the audit logs");
}

/// Prints what is granted and used, and tells whether it is the same, for each account.
pub fn compare() -> bool {
    ACCOUNTS.map(|(account, namespace, manifests)| compare_one(account, namespace, manifests)) == [true; 2]
}

fn compare_one(account: &str, namespace: &str, manifests: &str) -> bool {
    let granted = granted(account, namespace, manifests);
    let (used, refused) = used(account, namespace);
    let mut rows: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    // What a role of one namespace grants, and one of all namespaces too, is used by way of that one. The component narrow-secrets
    // takes that one away.
    let everywhere = |right: &Right| {
        let wider = |other: &&Right| other.role.starts_with("ClusterRole ");
        used.iter().filter(wider).any(|other| other.resource == right.resource && other.verb == right.verb)
    };
    let covered: BTreeSet<&Right> =
        granted.difference(&used).filter(|right| right.role.starts_with("Role ") && everywhere(right)).collect();
    for right in granted.union(&used) {
        let mark = match (granted.contains(right), used.contains(right)) {
            (true, true) => right.verb.clone(),
            (true, false) if covered.contains(right) => format!("{} (covered)", right.verb),
            (true, false) => format!("{} (UNUSED)", right.verb),
            (false, _) => format!("{} (NOT GRANTED)", right.verb),
        };
        rows.entry((&right.role, &right.resource)).or_default().push(mark);
    }
    println!("rights of {account}, granted by {manifests} and used in the audit log:");
    for ((role, resource), verbs) in rows {
        println!("  {role:<38} {resource:<36} {}", verbs.join(", "));
    }
    // While rights were taken away, what is granted otherwise was refused.
    let allowed: BTreeSet<_> = used.iter().map(|right| (&right.resource, &right.verb)).collect();
    let missing: Vec<_> = refused.iter().filter(|(resource, verb)| !allowed.contains(&(resource, verb))).collect();
    for (resource, verb) in &missing {
        println!("  MISSING: {verb} {resource} was asked for and is granted by nothing");
    }
    let same = granted.symmetric_difference(&used).all(|right| covered.contains(right)) && missing.is_empty();
    let (granted, used, covered) = (granted.len(), used.len(), covered.len());
    let equal = if same { "equal" } else { "NOT EQUAL" };
    println!("  {granted} rights granted, {used} used and {covered} covered: {equal}");
    same
}

/// What the manifests give an account.
fn granted(account: &str, namespace: &str, manifests: &str) -> BTreeSet<Right> {
    let kubectl = std::env::var_os("KUBECTL").unwrap_or_else(|| "kubectl".into());
    let rendered = Command::new(kubectl)
        .args(["kustomize", manifests])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("kubectl runs");
    let rendered = String::from_utf8(rendered.stdout).expect("YAML");
    let documents: Vec<Value> = serde_saphyr::from_multiple(&rendered).expect("the rendered manifests");
    let mut rights = BTreeSet::new();
    for binding in documents.iter().filter(|document| text(&document["kind"]).ends_with("Binding")) {
        let ours = |subject: &Value| subject["name"] == account && subject["namespace"] == namespace;
        if !binding["subjects"].as_array().into_iter().flatten().any(ours) {
            continue;
        }
        let role = &binding["roleRef"];
        let found = documents.iter().find(|document| {
            let same_namespace =
                role["kind"] == "ClusterRole" || document["metadata"]["namespace"] == binding["metadata"]["namespace"];
            document["kind"] == role["kind"] && document["metadata"]["name"] == role["name"] && same_namespace
        });
        for rule in found.expect("the role of a binding")["rules"].as_array().expect("rules") {
            for (group, resource, verb) in product(rule) {
                let role = format!("{} {}", text(&role["kind"]), text(&role["name"]));
                rights.insert(Right { role, resource: format!("{group}/{resource}"), verb });
            }
        }
    }
    rights
}

fn product(rule: &Value) -> Vec<(String, String, String)> {
    let list = |key: &str| -> Vec<String> {
        rule[key].as_array().into_iter().flatten().map(|item| text(item).to_owned()).collect()
    };
    let mut all = Vec::new();
    for group in list("apiGroups") {
        for resource in list("resources") {
            all.extend(list("verbs").into_iter().map(|verb| (group.clone(), resource.clone(), verb)));
        }
    }
    all
}

/// What an account did, and what it was refused, as resource and verb.
fn used(account: &str, namespace: &str) -> (BTreeSet<Right>, BTreeSet<(String, String)>) {
    let account = format!("system:serviceaccount:{namespace}:{account}");
    let (mut used, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for entry in std::fs::read_dir(folder()).expect("the folder of the audit logs") {
        let log = std::fs::read_to_string(entry.expect("an entry").path()).expect("an audit log");
        // The last line of a server that was killed may be a part of one.
        for event in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            if event["user"]["username"] != account || event["objectRef"].is_null() {
                continue;
            }
            let object = &event["objectRef"];
            let mut resource = format!("{}/{}", text(&object["apiGroup"]), text(&object["resource"]));
            if let Some(subresource) = object["subresource"].as_str() {
                resource = format!("{resource}/{subresource}");
            }
            let verb = text(&event["verb"]).to_owned();
            let annotations = &event["annotations"];
            if annotations["authorization.k8s.io/decision"] != "allow" {
                refused.insert((resource, verb));
                continue;
            }
            // RBAC: allowed by ClusterRoleBinding "a" of ClusterRole "b" to ServiceAccount "c"
            let reason = text(&annotations["authorization.k8s.io/reason"]);
            let Some((_, role)) = reason.split_once(" of ") else { continue };
            let role = role.split(" to ").next().unwrap_or_default().replace('"', "");
            used.insert(Right { role, resource, verb });
        }
    }
    (used, refused)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
