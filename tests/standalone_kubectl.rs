//! Real kubectl against the control plane, over TLS, as a user types it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod standalone_support;

use standalone_support::served;

#[tokio::test]
async fn explore() {
    let served = served().await;
    println!("{}", std::fs::read_to_string(served.serving.kubeconfig()).unwrap());
    let web = "{apiVersion: cloudfaster.app/v1alpha1, kind: Machine, metadata: {name: web}, spec: {os: debian, memory: 1Gi, cores: 2}}";
    for (arguments, input) in [
        (&["version"][..], ""),
        (&["apply", "-f", "-"], web),
        (&["apply", "-f", "-"], web),
        (
            &["apply", "-f", "-"],
            "{apiVersion: cloudfaster.app/v1alpha1, kind: Machine, metadata: {name: web}, spec: {os: debian, memory: 1Gi, cores: 3}}",
        ),
        (
            &["apply", "-f", "-"],
            "{apiVersion: cloudfaster.app/v1alpha1, kind: Machine, metadata: {name: bad}, spec: {os: debian, memory: 1Gi, coers: 3}}",
        ),
        (
            &["apply", "-f", "-"],
            "{apiVersion: cloudfaster.app/v1alpha1, kind: Machine, metadata: {name: bad}, spec: {os: debian, memory: '1', cores: 0}}",
        ),
        (
            &["apply", "--dry-run=server", "-f", "-"],
            "{apiVersion: cloudfaster.app/v1alpha1, kind: Machine, metadata: {name: bad}, spec: {os: debian, memory: '1', cores: 0}}",
        ),
        (&["apply", "--server-side", "-f", "-"], web),
        (&["get", "mc"], ""),
        (&["get", "mc", "-o", "wide"], ""),
        (&["get", "cloudfaster"], ""),
        (&["get", "mc", "web", "-o", "yaml"], ""),
        (&["describe", "mc", "web"], ""),
        (&["explain", "mc.spec", "--recursive"], ""),
        (&["explain", "mc"], ""),
        (&["explain", "mc.spec.cores"], ""),
        (&["explain", "secret.data"], ""),
        (&["api-resources"], ""),
        (&["api-versions"], ""),
        (&["create", "secret", "generic", "tok", "--from-literal=a=b"], ""),
        (&["create", "ns", "shop"], ""),
        (&["get", "ns"], ""),
        (&["get", "secret", "-A"], ""),
        (&["get", "crd"], ""),
        (&["get", "events"], ""),
        (&["describe", "ns", "shop"], ""),
        (&["apply", "-f", "-"], "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: b}}"),
        (&["apply", "-f", "-"], "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: c}}"),
        (&["apply", "-f", "-"], "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, dat: {a: c}}"),
        (&["patch", "mc", "web", "--type=merge", "-p", "{\"spec\":{\"cores\":5}}"], ""),
        (&["label", "mc", "web", "a=b"], ""),
        (&["annotate", "mc", "web", "a=b"], ""),
        (
            &[
                "patch",
                "mc",
                "web",
                "--subresource=status",
                "--type=merge",
                "-p",
                "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}",
            ],
            "",
        ),
        (&["wait", "--for=condition=Ready", "mc/web", "--timeout=5s"], ""),
        (&["get", "all"], ""),
        (&["delete", "ns", "shop"], ""),
        (&["delete", "mc", "web"], ""),
        (&["delete", "secret", "--all"], ""),
        (&["cluster-info"], ""),
        (&["diff", "-f", "-"], web),
        (&["replace", "--force", "-f", "-"], web),
        (&["auth", "can-i", "get", "mc"], ""),
    ] {
        let output = served.kubectl_with(arguments, input).await;
        println!("$ kubectl {}\n{}{}", arguments.join(" "), output.out, output.err);
    }
}
