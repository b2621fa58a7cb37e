//! Server-side apply by several managers, as Argo CD and Flux do it beside people and the controller.

use crate::support::{Bench, Which};

const ARGO: [&str; 5] = ["apply", "--server-side", "--field-manager=argocd-controller", "-f", "-"];
const FLUX: [&str; 5] = ["apply", "--server-side", "--field-manager=kustomize-controller", "-f", "-"];

async fn version(bench: &Bench) -> String {
    bench.kubectl().works(&["get", "pvm", "web", "-n", "shop", "-o", "jsonpath={.metadata.resourceVersion}"]).await
}

pub async fn a_second_manager_applies_server_side(which: Which) {
    let bench = Bench::start(which).await;
    let kubectl = bench.kubectl();
    let manifest = bench.manifests.machine("web");
    // A person began with a client-side apply; Argo CD takes over while the controller writes the status.
    kubectl.works_with(&["apply", "-f", "-"], &manifest).await;
    kubectl.works_with(&ARGO, &manifest).await;
    bench.ready(&["web"]).await;
    let before = version(&bench).await;
    // Each sync of a manager applies everything again.
    for apply in [ARGO, FLUX, ARGO, FLUX] {
        let said = kubectl.works_with(&apply, &manifest).await;
        assert!(said.contains("serverside-applied"), "{said}");
    }
    let first_of_flux = version(&bench).await;
    assert_ne!(before, first_of_flux, "the second manager is not noted");
    kubectl.works_with(&ARGO, &manifest).await;
    kubectl.works_with(&FLUX, &manifest).await;
    assert_eq!(version(&bench).await, first_of_flux, "an apply that changes nothing writes");
    let manager = "--field-manager=argocd-controller";
    let diff = kubectl.run_with(&["diff", "--server-side", manager, "-f", "-"], &manifest).await;
    assert!(diff.ok() && diff.out.is_empty(), "differences that never end: {}{}", diff.out, diff.err);

    // Both own the memory now; whoever wants another is told whom to ask, or takes it.
    let more = manifest.replace("memory: 2Gi", "memory: 3Gi");
    let refused = kubectl.run_with(&ARGO, &more).await;
    assert!(!refused.ok(), "{}", refused.out);
    let conflict = "conflict with \"kustomize-controller\": .spec.memory";
    assert!(refused.err.contains(conflict), "{}", refused.err);
    let mut forced = ARGO.to_vec();
    forced.push("--force-conflicts");
    kubectl.works_with(&forced, &more).await;
    let managers = kubectl.works(&["get", "pvm", "web", "-n", "shop", "--show-managed-fields", "-o", "yaml"]).await;
    for manager in ["argocd-controller", "kustomize-controller", "subresource: status"] {
        assert!(managers.contains(manager), "{manager} is not among the managers:\n{managers}");
    }
    kubectl.works(&["delete", "pvm", "web", "-n", "shop", "--timeout=150s"]).await;
    bench.proxmox.until_nothing_is_left().await;
}
