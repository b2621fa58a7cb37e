//! On a real API server: what it admits, and what the roles allow there.

use serde_json::{Value, json};

use crate::{NAMESPACE, kubectl::Kubectl, kubernetes::Kubernetes, one, render};

const CONTROLLER: &str = "system:serviceaccount:cloudfaster-system:cloudfaster-controller";

/// Applies a folder as the page of the installation says; there is nothing to warn of.
async fn install(kubectl: &Kubectl, folder: &str) {
    let output = kubectl.run(&["apply", "--server-side", "-k", folder]).await;
    assert!(output.ok() && output.err.is_empty(), "{folder}: {}{}", output.out, output.err);
}

/// A pod as the Deployment makes them.
fn pod() -> Value {
    let base = render("manifests/base");
    let template = &one(&base, "Deployment")["spec"]["template"];
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "try", "namespace": NAMESPACE, "labels": template["metadata"]["labels"]},
        "spec": template["spec"],
    })
}

#[tokio::test]
async fn the_operators_pods_are_admitted_under_the_strictest_profile_and_no_looser_ones() {
    let kubernetes = Kubernetes::start().await;
    let kubectl = kubernetes.admin();
    install(&kubectl, "manifests/base").await;
    let create = ["create", "--dry-run=server", "-f", "-"];
    let admitted = kubectl.run_with(&create, &pod().to_string()).await;
    assert!(admitted.ok() && admitted.err.is_empty(), "{}{}", admitted.out, admitted.err);

    let looser = [
        (
            "privileged",
            json!({"containers": [{"securityContext": {"privileged": true, "allowPrivilegeEscalation": null}}]}),
        ),
        ("hostNetwork", json!({"hostNetwork": true})),
        ("runAsNonRoot", json!({"securityContext": {"runAsNonRoot": false}})),
        ("seccompProfile", json!({"securityContext": {"seccompProfile": null}})),
    ];
    for (what, loosened) in looser {
        let mut pod = pod();
        overlay(&mut pod["spec"], &loosened);
        let refused = kubectl.run_with(&create, &pod.to_string()).await;
        let why = refused.err.contains("violates PodSecurity \"restricted") && refused.err.contains(what);
        assert!(!refused.ok() && why, "{what}: {}{}", refused.out, refused.err);
    }
}

#[tokio::test]
async fn what_is_applied_stays_as_it_is_and_each_overlay_is_taken() {
    let kubernetes = Kubernetes::start().await;
    let kubectl = kubernetes.admin();
    install(&kubectl, "manifests/base").await;
    let difference = kubectl.run(&["diff", "--server-side", "-k", "manifests/base"]).await;
    assert!(difference.ok(), "{}{}", difference.out, difference.err);
    // The Prometheus Operator's definitions are not there, so its overlay is only rendered.
    for overlay in [
        "manifests/overlays/single",
        "manifests/overlays/narrow-secrets",
        "manifests/overlays/rest",
        "manifests/overlays/rest-namespace-per-user",
    ] {
        install(&kubectl, overlay).await;
    }

    // Argo CD's ConfigMap is its own: only our keys are added.
    kubectl.works(&["create", "namespace", "argocd"]).await;
    kubectl.works(&["create", "configmap", "argocd-cm", "-n", "argocd", "--from-literal=url=https://argo"]).await;
    let ours = ["apply", "--server-side", "--field-manager=cloudfaster", "-n", "argocd", "-k", "manifests/argocd"];
    kubectl.works(&ours).await;
    let map = kubectl.works(&["get", "configmap", "argocd-cm", "-n", "argocd", "-o", "json"]).await;
    let map: Value = serde_json::from_str(&map).unwrap();
    assert_eq!(map["data"]["url"], "https://argo");
    assert_eq!(map["data"].as_object().unwrap().len(), 1 + cloudfaster::api::crds().len());
}

/// Whether somebody may do this, as the API server sees it.
async fn may(kubectl: &Kubectl, who: &str, namespace: &str, what: &str) -> bool {
    let who = format!("--as={who}");
    let words: Vec<&str> =
        ["auth", "can-i", "--quiet", &who, "-n", namespace].into_iter().chain(what.split_whitespace()).collect();
    kubectl.run(&words).await.ok()
}

#[tokio::test]
async fn the_roles_allow_what_they_are_for_and_nothing_near_it() {
    let kubernetes = Kubernetes::start().await;
    let kubectl = kubernetes.admin();
    install(&kubectl, "manifests/base").await;
    for (namespace, what, allowed) in [
        ("shop", "list proxmoxvms", true),
        ("shop", "patch proxmoxvms", true),
        ("shop", "update proxmoxvms --subresource=status", true),
        ("shop", "update proxmoxvms", false),
        ("shop", "create proxmoxvms", false),
        ("shop", "delete proxmoxvms", false),
        ("shop", "patch dockerservices", true),
        ("shop", "update dockerservices --subresource=status", true),
        ("shop", "update dockerservices", false),
        ("shop", "delete dockerservices", false),
        ("shop", "patch dockerhosts", true),
        ("shop", "update dockerhosts", false),
        ("shop", "get secrets/web-login", true),
        ("shop", "list secrets", false),
        ("shop", "watch secrets", false),
        ("shop", "get configmaps/any", true),
        ("shop", "list configmaps", false),
        ("shop", "get leases.coordination.k8s.io/cloudfaster-controller", false),
        ("shop", "create events.events.k8s.io", true),
        ("shop", "list events.events.k8s.io", false),
        ("shop", "get namespaces/shop", true),
        ("shop", "list namespaces", false),
        ("shop", "patch proxmoxclusters", true),
        ("shop", "update proxmoxclusters", false),
        ("shop", "create secrets", true),
        ("shop", "patch secrets/shop-release", true),
        ("shop", "update secrets/web-login", false),
        ("shop", "delete secrets/web-login", false),
        (NAMESPACE, "get secrets/proxmox", true),
        (NAMESPACE, "patch secrets/proxmox", true),
        (NAMESPACE, "list secrets", false),
        (NAMESPACE, "get configmaps/cloudfaster-installation", true),
        (NAMESPACE, "list configmaps", false),
        (NAMESPACE, "update configmaps/cloudfaster-installation", false),
        (NAMESPACE, "update leases.coordination.k8s.io/cloudfaster-controller", true),
        (NAMESPACE, "update leases.coordination.k8s.io/other", false),
        (NAMESPACE, "create pods", false),
    ] {
        assert_eq!(may(&kubectl, CONTROLLER, namespace, what).await, allowed, "{what} in {namespace}");
    }

    // Kubernetes' own roles take these in; that is the business of its controllers, which do not run here.
    for (user, role) in [("editor", "cloudfaster-edit"), ("viewer", "cloudfaster-view")] {
        let (role, user) = (format!("--clusterrole={role}"), format!("--user={user}"));
        kubectl.works(&["create", "rolebinding", &user[7..], "-n", "default", &role, &user]).await;
    }
    for (user, namespace, what, allowed) in [
        ("editor", "default", "create proxmoxvms", true),
        ("editor", "default", "delete proxmoxvms", true),
        ("editor", "default", "deletecollection proxmoxvms", false),
        ("editor", "default", "update proxmoxvms --subresource=status", false),
        ("editor", "default", "get proxmoxclusters", false),
        ("editor", "default", "create dockerservices", true),
        ("editor", "default", "deletecollection dockerservices", false),
        ("editor", "default", "get dockerhosts", false),
        ("editor", "kube-system", "get proxmoxvms", false),
        ("viewer", "default", "get proxmoxvms", true),
        ("viewer", "default", "patch proxmoxvms", false),
        ("viewer", "default", "get dockerservices", true),
        ("viewer", "default", "patch dockerservices", false),
    ] {
        assert_eq!(may(&kubectl, user, namespace, what).await, allowed, "{user}: {what} in {namespace}");
    }

    // With the other overlay Secrets are read only where somebody says so.
    kubectl.works(&["delete", "clusterrolebinding", "cloudfaster-secrets"]).await;
    install(&kubectl, "manifests/overlays/narrow-secrets").await;
    let account = "--serviceaccount=cloudfaster-system:cloudfaster-controller";
    let binding = ["create", "rolebinding", "cloudfaster-secrets", "--clusterrole=cloudfaster-secrets", account];
    kubectl.works(&[&binding[..], &["-n", "default"]].concat()).await;
    for (namespace, allowed) in [("default", true), ("kube-system", false), (NAMESPACE, true)] {
        assert_eq!(may(&kubectl, CONTROLLER, namespace, "get secrets/any").await, allowed, "{namespace}");
    }
}

/// Lays values over others; in lists item by item.
fn overlay(below: &mut Value, above: &Value) {
    match (below, above) {
        (Value::Object(below), Value::Object(above)) => {
            above.iter().for_each(|(name, value)| overlay(below.entry(name.as_str()).or_insert(Value::Null), value));
        }
        (Value::Array(below), Value::Array(above)) => {
            below.iter_mut().zip(above).for_each(|(below, above)| overlay(below, above));
        }
        (below, above) => *below = above.clone(),
    }
}
