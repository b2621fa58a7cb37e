//! The manifests as an administrator applies them: rendered by kubectl, held to what they promise, and applied to a real
//! API server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod applied;
#[path = "../support/kubectl.rs"]
mod kubectl;
#[path = "../support/kubernetes.rs"]
mod kubernetes;
#[path = "../support/process.rs"]
mod process;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

const NAMESPACE: &str = "cloudfaster-system";

fn project(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What `kubectl apply -k` sends.
fn render(folder: &str) -> Vec<Value> {
    render_at(&project(folder))
}

fn render_at(folder: &Path) -> Vec<Value> {
    let program = std::env::var_os("KUBECTL").unwrap_or_else(|| "kubectl".into());
    let output = Command::new(program)
        .arg("kustomize")
        .arg(folder)
        .output()
        .expect("kubectl 1.27 or later is needed: in PATH, or named by the variable KUBECTL");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaint.is_empty(), "{}: {complaint}", folder.display());
    serde_saphyr::from_multiple(&String::from_utf8(output.stdout).unwrap()).unwrap()
}

fn overlays() -> Vec<String> {
    let names = fs::read_dir(project("manifests/overlays")).unwrap();
    names.map(|entry| format!("manifests/overlays/{}", entry.unwrap().file_name().to_str().unwrap())).collect()
}

fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

fn one<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let found = of_kind(objects, kind);
    assert_eq!(found.len(), 1, "{kind}");
    found[0]
}

fn id(object: &Value) -> String {
    format!("{} {}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap())
}

fn ids(objects: &[Value]) -> BTreeSet<String> {
    objects.iter().map(id).collect()
}

fn pod_labels(objects: &[Value]) -> &Value {
    &one(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]
}

/// Whether a selector by labels finds what has these labels.
fn finds(selector: &Value, labels: &Value) -> bool {
    let wanted = selector.as_object().unwrap();
    !wanted.is_empty() && wanted.iter().all(|(key, value)| labels[key] == *value)
}

#[test]
fn each_rule_of_a_role_says_why_it_is_there() {
    for file in [
        "manifests/base/rbac.yaml",
        "manifests/base/tenants.yaml",
        "manifests/components/rest/rbac.yaml",
        "manifests/components/rest-namespace-per-user/rbac.yaml",
    ] {
        let text = fs::read_to_string(project(file)).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let rules: Vec<usize> = (0..lines.len()).filter(|index| lines[*index].starts_with("  - apiGroups:")).collect();
        for index in &rules {
            let above = lines[index - 1].trim_start();
            assert!(above.starts_with("# ") && above.len() > 20, "{file}:{}: a rule without a reason", index + 1);
        }
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        let parsed: usize = documents.iter().filter_map(|document| document["rules"].as_array()).map(Vec::len).sum();
        assert!(
            parsed > 0 && parsed == rules.len(),
            "{file}: {parsed} rules, {} of them where they are looked for",
            rules.len()
        );
    }
}

#[test]
fn no_role_has_a_wildcard_and_secrets_are_read_by_name_and_never_removed() {
    let base = render("manifests/base");
    let roles = of_kind(&base, "ClusterRole").into_iter().chain(of_kind(&base, "Role"));
    let mut on_secrets = Vec::new();
    for role in roles {
        for rule in role["rules"].as_array().unwrap() {
            assert!(!rule.to_string().contains('*'), "{}: {rule}", id(role));
            if rule["resources"].as_array().unwrap().contains(&json!("secrets")) {
                on_secrets.push((role["kind"].as_str().unwrap(), rule["verbs"].clone()));
            }
        }
    }
    // The tenants', those that are made for services, and the administrators' in the operator's own namespace.
    let (get, patch, make) = (json!(["get"]), json!(["patch"]), json!(["create", "patch"]));
    assert_eq!(on_secrets, [("ClusterRole", get.clone()), ("ClusterRole", make), ("Role", get), ("Role", patch)]);
}

#[test]
fn the_base_brings_the_definitions_and_the_strictest_namespace() {
    let base = render("manifests/base");
    for crd in cloudfaster::api::crds() {
        let name = crd.metadata.name.unwrap();
        let brought = base.iter().find(|object| object["metadata"]["name"] == json!(name));
        let brought = brought.unwrap_or_else(|| panic!("{name} is missing"));
        let brought: CustomResourceDefinition = serde_json::from_value(brought.clone()).unwrap();
        assert!(brought.spec == crd.spec, "{name} is another one");
    }
    let namespace = one(&base, "Namespace");
    assert_eq!(namespace["metadata"]["name"], NAMESPACE);
    for mode in ["enforce", "audit", "warn"] {
        let label = format!("pod-security.kubernetes.io/{mode}");
        assert_eq!(namespace["metadata"]["labels"][&label], "restricted", "{label}");
    }
    for object in base.iter().filter(|object| object["metadata"]["namespace"] != Value::Null) {
        assert_eq!(object["metadata"]["namespace"], NAMESPACE, "{}", id(object));
    }
}

#[test]
fn argo_cd_gets_the_health_of_every_kind() {
    let rendered = render("manifests/argocd");
    let map = one(&rendered, "ConfigMap");
    assert_eq!(map["metadata"]["name"], "argocd-cm");
    assert_eq!(map["metadata"]["labels"]["app.kubernetes.io/part-of"], "argocd");
    let script = fs::read_to_string(project("manifests/argocd/health.lua")).unwrap();
    let keys = map["data"].as_object().unwrap();
    let kinds = cloudfaster::api::crds().into_iter().map(|crd| crd.spec.names.kind);
    let expected: BTreeSet<String> =
        kinds.map(|kind| format!("resource.customizations.health.cloudfaster.app_{kind}")).collect();
    assert_eq!(keys.keys().cloned().collect::<BTreeSet<_>>(), expected);
    assert!(keys.values().all(|value| *value == json!(script)));

    // The other way of docs/gitops.md, in a kustomization that has the ConfigMap.
    let pages = yaml_of("docs/gitops.md");
    let generator = pages.iter().find(|block| block.starts_with("configMapGenerator")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let theirs = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: argocd-cm}\ndata: {url: https://argo}\n";
    fs::write(folder.path().join("theirs.yaml"), theirs).unwrap();
    fs::write(folder.path().join("health.lua"), &script).unwrap();
    fs::write(folder.path().join("kustomization.yaml"), format!("resources: [theirs.yaml]\n{generator}")).unwrap();
    let merged = render_at(folder.path());
    let mut both = keys.clone();
    both.insert("url".to_owned(), json!("https://argo"));
    assert_eq!(one(&merged, "ConfigMap")["data"], Value::Object(both));
}

#[test]
fn the_image_bears_the_version_of_the_program() {
    let base = render("manifests/base");
    let container = &one(&base, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(container["image"], format!("cloudfaster:{version}"));
    let dockerfile = fs::read_to_string(project("manifests/image/Dockerfile")).unwrap();
    assert!(dockerfile.contains(&format!("org.opencontainers.image.version=\"{version}\"")), "{dockerfile}");
    assert!(dockerfile.contains(&format!("ARG RUST=rust:{}-", env!("CARGO_PKG_RUST_VERSION"))), "{dockerfile}");
}

#[test]
fn the_program_knows_the_flags_that_the_deployment_gives_it() {
    let base = render("manifests/base");
    let container = &one(&base, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    let arguments = container["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap());
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloudfaster"));
    let help = command.args(arguments).arg("--help").output().unwrap();
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(help.status.success(), "{}", String::from_utf8_lossy(&help.stderr));
    let port = &container["ports"][0]["containerPort"];
    assert!(text.contains(&format!(":{port}]")), "it serves its health elsewhere than on {port}:\n{text}");
    for variable in container["env"].as_array().unwrap() {
        assert!(text.contains(variable["name"].as_str().unwrap()), "{variable} is not read:\n{text}");
    }
}

/// As the stage that compiles does it; the compilation itself would take minutes, and a compiler in a container.
#[test]
fn the_image_is_built_from_all_the_files_that_cargo_needs() {
    let dockerfile = fs::read_to_string(project("manifests/image/Dockerfile")).unwrap();
    let admitted = fs::read_to_string(project("manifests/image/Dockerfile.dockerignore")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut copied = 0;
    for line in
        dockerfile.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|line| !line.starts_with("--from"))
    {
        let (sources, target) = line.rsplit_once(' ').unwrap();
        let target = folder.path().join(target);
        for source in sources.split(' ') {
            assert!(admitted.lines().any(|line| line == format!("!{source}")), "{source} is kept from the build");
            fs::create_dir_all(if line.ends_with('/') { &target } else { target.parent().unwrap() }).unwrap();
            let copy = Command::new("cp").arg("-r").arg(project(source)).arg(&target).status().unwrap();
            assert!(copy.success(), "{line}");
            copied += 1;
        }
    }
    assert!(copied >= 3);
    let host = format!("--target={}-unknown-linux-gnu", std::env::consts::ARCH);
    let cargo = Command::new(env!("CARGO"))
        .args(["fetch", "--offline", "--locked", &host])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
}

#[test]
fn what_selects_the_pods_finds_them_and_their_port() {
    let base = render("manifests/base");
    let labels = pod_labels(&base);
    let spec = &one(&base, "Deployment")["spec"];
    for (what, selector) in [
        ("the Deployment", &spec["selector"]["matchLabels"]),
        ("the spread", &spec["template"]["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"]),
        ("the Service", &one(&base, "Service")["spec"]["selector"]),
        ("the budget", &one(&base, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"]),
        ("the NetworkPolicy", &one(&base, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"]),
    ] {
        assert!(finds(selector, labels), "{what} selects {selector}, the pods have {labels}");
    }
    let container = &spec["template"]["spec"]["containers"][0];
    let port = &container["ports"][0]["name"];
    for (what, named) in [
        ("the liveness probe", &container["livenessProbe"]["httpGet"]["port"]),
        ("the readiness probe", &container["readinessProbe"]["httpGet"]["port"]),
        ("the Service", &one(&base, "Service")["spec"]["ports"][0]["targetPort"]),
        ("the NetworkPolicy", &one(&base, "NetworkPolicy")["spec"]["ingress"][0]["ports"][0]["port"]),
    ] {
        assert_eq!(named, port, "{what}");
    }
}

#[test]
fn each_overlay_changes_what_it_promises_and_nothing_else() {
    let base = render("manifests/base");
    let mut tried = 0;
    for overlay in overlays() {
        let objects = render(&overlay);
        let (had, has) = (ids(&base), ids(&objects));
        let gone: Vec<&str> = had.difference(&has).map(String::as_str).collect();
        let new: Vec<&str> = has.difference(&had).map(String::as_str).collect();
        let changed: Vec<String> = base
            .iter()
            .filter(|old| objects.iter().any(|object| id(object) == id(old) && object != *old))
            .map(id)
            .collect();
        match overlay.rsplit('/').next().unwrap() {
            "single" => {
                assert_eq!(
                    (gone, new, changed),
                    (vec![], vec![], vec!["Deployment cloudfaster-controller".to_owned()])
                );
                assert_eq!(one(&objects, "Deployment")["spec"]["replicas"], 1);
            }
            "narrow-secrets" => {
                assert_eq!((gone, new, changed), (vec!["ClusterRoleBinding cloudfaster-secrets"], vec![], vec![]));
            }
            "prometheus" => {
                assert_eq!((gone, new, changed), (vec![], vec!["ServiceMonitor cloudfaster-controller"], vec![]));
                let (monitor, service) = (one(&objects, "ServiceMonitor"), one(&objects, "Service"));
                assert!(finds(&monitor["spec"]["selector"]["matchLabels"], &service["metadata"]["labels"]));
                assert_eq!(monitor["spec"]["endpoints"][0]["port"], service["spec"]["ports"][0]["name"]);
            }
            "rest" => {
                assert_eq!((gone, changed), (vec![], vec![]));
                assert!(
                    new.iter().all(|id| id.contains("cloudfaster-rest") || *id == "Namespace cloudfaster-users"),
                    "{new:?}"
                );
                rest_holds(&objects);
            }
            "rest-namespace-per-user" => {
                assert_eq!((gone, changed), (vec![], vec![]));
                let of_users = ["ClusterRole cloudfaster-rest-user", "ClusterRole cloudfaster-rest-namespaces"];
                assert!(of_users.iter().all(|id| new.contains(id)), "{new:?}");
                rest_holds(&objects);
            }
            other => panic!("nothing is said here of the overlay {other}"),
        }
        tried += 1;
    }
    assert!(tried >= 3);
}

/// What the manifests of the REST shim promise.
fn rest_holds(objects: &[Value]) {
    let ours = |kind: &str| {
        let found = of_kind(objects, kind).into_iter().find(|object| object["metadata"]["name"] == "cloudfaster-rest");
        found.unwrap_or_else(|| panic!("{kind} cloudfaster-rest is missing"))
    };
    let deployment = ours("Deployment");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    for (what, selector) in [
        ("the Deployment", &deployment["spec"]["selector"]["matchLabels"]),
        ("the Service", &ours("Service")["spec"]["selector"]),
        ("the budget", &ours("PodDisruptionBudget")["spec"]["selector"]["matchLabels"]),
        ("the NetworkPolicy", &ours("NetworkPolicy")["spec"]["podSelector"]["matchLabels"]),
    ] {
        assert!(finds(selector, labels), "{what} selects {selector}, the pods have {labels}");
    }
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let help = Command::new(env!("CARGO_BIN_EXE_cloudfaster")).args(["rest", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for port in container["ports"].as_array().unwrap() {
        assert!(help.contains(&format!(":{}]", port["containerPort"])), "{port}: {help}");
    }
    for variable in container["env"].as_array().unwrap() {
        assert!(help.contains(variable["name"].as_str().unwrap()), "{variable} is not read: {help}");
    }
    assert_eq!(container["image"], format!("cloudfaster:{}", env!("CARGO_PKG_VERSION")));
    // Its Secrets are in a namespace of their own. Those beside services it makes, and reads by name.
    for role in of_kind(objects, "ClusterRole").into_iter().chain(of_kind(objects, "Role")) {
        let rest = role["metadata"]["name"].as_str().unwrap().starts_with("cloudfaster-rest");
        for rule in role["rules"].as_array().unwrap().iter().filter(|_| rest) {
            assert!(!rule.to_string().contains('*'), "{}: {rule}", id(role));
            if rule["resources"].as_array().unwrap().contains(&json!("secrets")) {
                let of_users = role["metadata"]["namespace"] == "cloudfaster-users"
                    || role["metadata"]["name"] == "cloudfaster-rest-user";
                match of_users {
                    true => assert_eq!(rule["verbs"], json!(["create", "get"]), "{}", id(role)),
                    false => assert_eq!(
                        (&role["kind"], &role["metadata"]["namespace"]),
                        (&json!("Role"), &json!("cloudfaster-rest"))
                    ),
                }
            }
        }
    }
}

/// The YAML blocks of a page.
fn yaml_of(page: &str) -> Vec<String> {
    let text = fs::read_to_string(project(page)).unwrap();
    text.split("```").filter_map(|block| block.strip_prefix("yaml\n")).map(str::to_owned).collect()
}

#[test]
fn the_overlay_of_the_installation_page_works_as_it_stands_there() {
    let [overlay, network] = &yaml_of("docs/install.md")[..] else { panic!("not the two blocks that are tried here") };
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().canonicalize().unwrap();
    // Relative to the checkout, as for whoever follows the page; kustomize takes no absolute path.
    let up = "../".repeat(place.components().count() - 1);
    let checkout = format!("- {up}{}/manifests/", env!("CARGO_MANIFEST_DIR").trim_start_matches('/'));
    let text = format!("{overlay}{network}").replace("- manifests/", &checkout);
    fs::write(place.join("kustomization.yaml"), text).unwrap();
    let objects = render_at(&place);

    let deployment = one(&objects, "Deployment");
    assert_eq!(deployment["spec"]["replicas"], 1);
    let image = deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap();
    assert_eq!(image, format!("registry.example.com/cloudfaster:{}", env!("CARGO_PKG_VERSION")));
    assert!(!ids(&objects).contains("ClusterRoleBinding cloudfaster-secrets"));
    assert!(ids(&objects).contains("ServiceMonitor cloudfaster-controller"));
    let to_proxmox = &one(&objects, "NetworkPolicy")["spec"]["egress"][2];
    assert_eq!(to_proxmox["ports"][0]["port"], 8006);
    assert_eq!(to_proxmox["to"][0]["ipBlock"]["cidr"], "10.0.0.0/24");
}
