//! How people reach services by name.

use std::collections::BTreeSet;

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::{docker::command::docker, lab::Lab};

impl Lab {
    /// A container in the part of the host's proxy: it asks others by their addresses.
    fn proxy(&self) -> String {
        let name = self.run.name("proxy");
        docker(&["run", "--detach", "--name", &name, "--label", &format!("run={}", self.run.id), &self.image]);
        name
    }

    async fn set_proxy(&self, proxy: Value) {
        let patch = Patch::Merge(json!({"spec": {"proxy": proxy}}));
        self.hosts().patch("local", &PatchParams::default(), &patch).await.unwrap();
    }

    /// The networks that a container is connected to.
    fn networks_of(&self, container: &str) -> BTreeSet<String> {
        let format = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}";
        docker(&["inspect", "--format", format, container]).split_whitespace().map(str::to_owned).collect()
    }

    fn label(&self, container: &str, label: &str) -> String {
        docker(&["inspect", "--format", &format!("{{{{index .Config.Labels {label:?}}}}}"), container])
    }

    /// The address of a container on a network.
    fn address(&self, container: &str, network: &str) -> String {
        let format = format!("{{{{(index .NetworkSettings.Networks {network:?}).IPAddress}}}}");
        docker(&["inspect", "--format", &format, container])
    }
}

fn web(image: &str, page: &str) -> String {
    format!(
        "services:
  web:
    image: {image}
    command: ['sh', '-c', 'echo {page} > /index.html; trap exit TERM; httpd -p 8080 -h / ; sleep 1000000 & wait']
  store:
    image: {image}
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_meets_each_service_on_a_network_of_the_services_own() {
    let lab = Lab::new().await;
    let proxy = lab.proxy();
    let expose = json!({"expose": {"service": "web", "port": 8080}, "hostname": "one"});
    let one = lab.apply("one", &web(&lab.image, "first"), expose).await;
    lab.until_told(&one, "NoProxy", &["spec.hostname"]).await;
    let domain = "example.com";
    lab.set_proxy(json!({"kind": "Traefik", "domain": domain, "container": proxy, "certResolver": "letsencrypt"}))
        .await;
    lab.until_ready(&one).await;
    lab.until(&one, "its URL", |status| status.url.as_deref() == Some("https://one.example.com")).await;
    let expose = |name: &str| json!({"expose": {"service": "web", "port": 8080}, "hostname": name});
    let two = lab.apply("two", &web(&lab.image, "second"), expose("one")).await;
    lab.until_told(&two, "HostnameTaken", &["spec.hostname", "one.example.com"]).await;
    lab.change(&two, expose("two")).await;
    lab.until_ready(&two).await;

    let project = |name: &str| {
        let labels = ["ps", "--filter", &format!("label=cloudfaster.app/name={name}"), "--format"].map(str::to_owned);
        let format = r#"{{.Label "com.docker.compose.project"}}"#.to_owned();
        let arguments: Vec<_> = labels.iter().chain([&format]).map(String::as_str).collect();
        docker(&arguments).lines().next().unwrap().to_owned()
    };
    let networks: Vec<_> = [&one, &two].iter().map(|name| format!("{}_ingress", project(name))).collect();
    let met = lab.networks_of(&proxy);
    assert!(networks.iter().all(|network| met.contains(network)), "{met:?}");
    for (name, page, host) in [(&one, "first", "one"), (&two, "second", "two")] {
        let container = format!("{}-web-1", project(name));
        let rule = lab.label(&container, &format!("traefik.http.routers.{}-web.rule", project(name)));
        assert_eq!(rule, format!("Host(`{host}.{domain}`)"));
        let address = lab.address(&container, &format!("{}_ingress", project(name)));
        assert_eq!(docker(&["exec", &proxy, "wget", "-q", "-O", "-", &format!("http://{address}:8080/")]), page);
        let store = lab.networks_of(&format!("{}-store-1", project(name)));
        assert_eq!(store, BTreeSet::from([format!("{}_default", project(name))]), "what is not exposed is not met");
        // A service is no name in the networks of the proxy.
        let aliases = format!(
            "{{{{json (index .NetworkSettings.Networks {:?}).Aliases}}}}",
            format!("{}_ingress", project(name))
        );
        assert!(!docker(&["inspect", "--format", &aliases, &container]).contains("\"web\""));
    }

    // Another proxy is connected, too.
    docker(&["rm", "--force", &proxy]);
    let proxy = lab.proxy();
    let patch = json!({"metadata": {"annotations": {"looked-at": "now"}}});
    for name in [&one, &two] {
        lab.services().patch(name, &PatchParams::default(), &Patch::Merge(patch.clone())).await.unwrap();
        lab.until_ready(name).await;
    }
    tokio::time::timeout(std::time::Duration::from_secs(60), async {
        while !networks.iter().all(|network| lab.networks_of(&proxy).contains(network)) {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    })
    .await
    .unwrap();

    // The name is free again when its service is gone, and the proxy stands in nobody's way.
    lab.delete(&one).await;
    assert!(!lab.networks_of(&proxy).contains(&networks[0]));
    lab.change(&two, expose("one")).await;
    lab.until(&two, "the other name", |status| status.url.as_deref() == Some("https://one.example.com")).await;
    // One that the proxy was never connected to goes as well.
    docker(&["network", "disconnect", "--force", &networks[1], &proxy]);
    lab.delete(&two).await;
    docker(&["rm", "--force", &proxy]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_a_proxy_gives_ports() {
    let lab = Lab::new().await;
    let expose = json!({"expose": {"service": "web", "port": 8080}});
    let name = lab.apply("ports", &web(&lab.image, "by port"), expose).await;
    lab.until_told(&name, "NoProxy", &["spec.servicePorts"]).await;
    let ports = json!({"spec": {"publicAddress": "127.0.0.1", "servicePorts": {"from": 31_480, "to": 31_499}}});
    lab.hosts().patch("local", &PatchParams::default(), &Patch::Merge(ports)).await.unwrap();
    lab.until_ready(&name).await;
    let status = lab.services().get(&name).await.unwrap().status.unwrap();
    let url = status.urls.unwrap().main.unwrap();
    assert_eq!(status.url.as_ref(), Some(&url));
    assert_eq!(reqwest::get(&url).await.unwrap().text().await.unwrap().trim(), "by port");
    lab.change(&name, json!({"compose": web(&lab.image, "changed")})).await;
    lab.until_ready(&name).await;
    assert_eq!(reqwest::get(&url).await.unwrap().text().await.unwrap().trim(), "changed", "it keeps its port");
    lab.delete(&name).await;
}
