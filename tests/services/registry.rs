//! Images that cannot be had: nothing that runs is touched before all images are there.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::future::join_all;
use serde_json::json;

use crate::{
    docker::registry::{PASSWORD, Registry, USER},
    lab::Lab,
};

fn credentials(registry: &Registry) -> serde_json::Value {
    let auth = BASE64_STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let config = json!({"auths": {&registry.address: {"auth": auth}}});
    json!({".dockerconfigjson": config.to_string()})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_had_is_told_and_what_runs_goes_on() {
    let lab = Lab::new().await;
    let registry = Registry::start().await;
    let there = registry.push(&lab.image, &format!("{}/app:1", lab.run.id));
    lab.secret("registry", "kubernetes.io/dockerconfigjson", credentials(&registry)).await;
    let good = format!("services: {{web: {{image: '{}'}}}}\n", lab.image);
    let with_login = json!({"registrySecrets": [{"name": "registry"}]});
    let cases = [
        ("nowhere", format!("{}/{}/none:1", registry.address, lab.run.id), &with_login, "ImageNotFound"),
        ("denied", there.clone(), &json!({}), "RegistryDenies"),
        ("down", format!("127.0.0.1:1/{}:1", lab.run.id), &json!({}), "RegistryUnreachable"),
    ];
    join_all(cases.iter().map(|(name, image, spec, word)| {
        let (lab, good) = (&lab, &good);
        async move {
            let name = lab.apply(name, good, (*spec).clone()).await;
            lab.until_ready(&name).await;
            let before = lab.running(&name);
            let wrong = format!("services: {{web: {{image: '{image}'}}, side: {{image: '{}'}}}}\n", lab.image);
            lab.change(&name, json!({"compose": wrong})).await;
            lab.until_told(&name, word, &[image.rsplit_once(':').unwrap().0]).await;
            assert_eq!(lab.running(&name), before, "{name}");
            if *word == "RegistryDenies" {
                // The login comes later.
                lab.change(&name, json!({"registrySecrets": [{"name": "registry"}]})).await;
                lab.until_ready(&name).await;
                let now = lab.running(&name);
                assert!(now.len() == 2 && now.is_disjoint(&before), "{name}: {now:?}");
            }
            lab.delete(&name).await;
            assert!(lab.running(&name).is_empty(), "{name}");
        }
    }))
    .await;
}
