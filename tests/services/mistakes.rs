//! A change of the spec that cannot come true: the condition says why and where, and what runs goes on as it is.

use futures::future::join_all;
use serde_json::json;

use crate::lab::Lab;

/// A chain of anchors that would become a thousand million words.
fn laughs() -> String {
    let mut text = "x-0: &l0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for level in 1..9 {
        let before = vec![format!("*l{}", level - 1); 10].join(", ");
        text += &format!("x-{level}: &l{level} [{before}]\n");
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_understood_is_told_with_its_line_and_what_runs_goes_on() {
    let lab = Lab::new().await;
    let good = format!("services:\n  web:\n    image: {}\n", lab.image);
    let image = &lab.image;
    let cases = [
        ("yaml", format!("services:\n  web:\n    image: {image}\n   ports: [\n"), vec!["compose.yaml:"]),
        (
            "circle",
            format!(
                "services:\n  web: {{image: {image}, depends_on: [side]}}\n  side: {{image: {image}, depends_on: [web]}}\n"
            ),
            vec!["depends_on", "web", "side"],
        ),
        (
            "undefined",
            format!("services:\n  web:\n    image: {image}\n    command: echo ${{WORD:?say one}}\n"),
            vec!["compose.yaml:4", "WORD", "say one"],
        ),
        ("laughs", format!("{}{good}", laughs()), vec!["compose.yaml:"]),
        ("unknown", format!("{good}    restrat: always\n"), vec!["compose.yaml:4", "restrat"]),
    ];
    join_all(cases.iter().map(|(name, wrong, words)| {
        let (lab, good) = (&lab, &good);
        async move {
            let name = lab.apply(name, good, json!({})).await;
            lab.until_ready(&name).await;
            let before = lab.running(&name);
            assert_eq!(before.len(), 1);
            lab.change(&name, json!({"compose": wrong})).await;
            lab.until_told(&name, "InvalidCompose", words).await;
            assert_eq!(lab.running(&name), before, "{name}");
            lab.change(&name, json!({"compose": good})).await;
            lab.until_ready(&name).await;
            assert_eq!(lab.running(&name), before, "{name}: the same as before is no change");
            lab.delete(&name).await;
            assert!(lab.running(&name).is_empty(), "{name}");
        }
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_ten_megabytes_is_refused_by_the_api() {
    let lab = Lab::new().await;
    let good = format!("services: {{web: {{image: '{}'}}}}\n", lab.image);
    let name = lab.apply("web", &good, json!({"state": "Stopped"})).await;
    let patch = kube::api::Patch::Merge(json!({"spec": {"compose": "#".repeat(10 << 20)}}));
    let error = lab.services().patch(&name, &kube::api::PatchParams::default(), &patch).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("compose") || text.contains("too large"), "{}", &text[..text.len().min(500)]);
    lab.delete(&name).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_missing_is_awaited_and_what_runs_goes_on() {
    let lab = Lab::new().await;
    let good = format!("services: {{web: {{image: '{}'}}}}\n", lab.image);
    let name = lab.apply("web", &good, json!({})).await;
    lab.until_ready(&name).await;
    let before = lab.running(&name);
    let compose = format!("services: {{web: {{image: '{}', environment: {{A: '${{A}}'}}}}}}\n", lab.image);
    lab.change(&name, json!({"compose": compose, "envFrom": [{"name": "later"}]})).await;
    lab.until_told(&name, "DependencyNotFound", &["spec.envFrom[0]", "later"]).await;
    assert_eq!(lab.running(&name), before);
    lab.secret("later", "Opaque", json!({"A": "hunter2"})).await;
    lab.until_ready(&name).await;
    assert!(lab.running(&name).is_disjoint(&before), "it was made anew with the variable");
    lab.delete(&name).await;
}
