//! Names that are the host's, labels and variables that something on the host acts on.

use std::{collections::BTreeMap, sync::Arc};

use super::{Refused, Terms};
use crate::{
    api::docker_tenant::DockerAllow,
    controller::policy::{list, matches_any},
    docker::{
        act::Admission,
        compose::model::{At, Positions},
    },
};

/// Labels by which Compose, Docker and the operator tell whose something is. Nobody sets them.
const OWN: [&str; 3] = ["com.docker.", "cloudfaster.app/", "desktop.docker.io/"];

/// How labels begin that a proxy or another agent with the engine's socket acts on: it would answer under a name of somebody
/// else's, or run what the label says.
const AGENTS: [&str; 22] = [
    "traefik.",
    "caddy",
    "nginx-proxy",
    "com.github.nginx-proxy.",
    "com.github.jrcs.",
    "com.github.kanti.",
    "com.centurylinklabs.watchtower",
    "wud.",
    "diun.",
    "ofelia.",
    "chadburn.",
    "deck-chores.",
    "sablier.",
    "swag",
    "haproxy.",
    "easyhaproxy.",
    "io.rancher.",
    "dockflare.",
    "cloudflare.tunnel.",
    "tsdproxy.",
    "proxy.",
    "coolify.",
];

/// Variables that nginx-proxy and its companions act on.
const VARIABLES: [&str; 5] = ["VIRTUAL_HOST", "VIRTUAL_PATH", "LETSENCRYPT_", "ACME_", "CERT_NAME"];

/// Refuses a name on the host that is neither the project's own nor one that it may take.
pub fn check(terms: &Terms<'_>, at: &At, attribute: &str, name: &str, refused: &mut Refused) {
    if !terms.may_be_named(name) {
        let own = [format!("{}-*", terms.project), format!("{}_*", terms.project)];
        let allowed = list(own.into_iter().chain(terms.allow.names.iter().cloned()), "");
        refused.add(at, attribute, name, &format!("names are the host's for everybody; leave it out, or {allowed}"));
    }
}

/// Refuses labels that are reserved, or that a proxy would act on.
pub fn check_labels(
    terms: &Terms<'_>,
    at: &Positions,
    path: &str,
    attribute: &str,
    labels: &BTreeMap<String, String>,
    refused: &mut Refused,
) {
    for key in labels.keys() {
        let remedy = if begins(key, &OWN) {
            "it is reserved: it tells whose something is"
        } else {
            match objection(&terms.host.reserved_labels, terms.allow.proxy_labels, key) {
                Some(Objection::Reserved) => "the host's administrator reserves it",
                Some(Objection::ForAgents) => {
                    "a proxy or agent on the host may act on it, and proxyLabels is not opened"
                }
                None => continue,
            }
        };
        refused.add(at.of(&format!("{attribute}.{key}")), &format!("{path}.{attribute}"), key, remedy);
    }
}

/// Why a label may not be on a container, wherever it comes from.
enum Objection {
    /// The administrator reserves it.
    Reserved,
    /// A proxy or another agent would act on it.
    ForAgents,
}

fn objection(reserved: &[String], open: bool, label: &str) -> Option<Objection> {
    if matches_any(reserved, label) {
        Some(Objection::Reserved)
    } else {
        (!open && begins(label, &AGENTS)).then_some(Objection::ForAgents)
    }
}

/// Traefik reads its labels without regard to case.
fn begins(label: &str, prefixes: &[&str]) -> bool {
    let lower = label.trim().to_lowercase();
    prefixes.iter().any(|prefix| lower.starts_with(prefix))
}

fn is_an_agents_variable(name: &str) -> bool {
    VARIABLES.iter().any(|prefix| name.to_uppercase().starts_with(prefix))
}

/// Which images a tenant's containers may be made from, by what these bring with them. A label that tells whose something is
/// does no harm there: those of the container are set anew.
pub fn admission(reserved: &[String], allow: &DockerAllow) -> Admission {
    let (reserved, open) = (reserved.to_vec(), allow.proxy_labels);
    Arc::new(move |image| {
        let agent = |kind: &str, name: &str| {
            format!(
                "it has the {kind} {name}, on which a proxy or agent on the host may act, and proxyLabels is not opened"
            )
        };
        let labels = image.labels.iter().find_map(|label| match objection(&reserved, open, label)? {
            Objection::Reserved => Some(format!("it has the label {label}, which the host's administrator reserves")),
            Objection::ForAgents => Some(agent("label", label)),
        });
        let mut variables = image.variables.iter();
        labels
            .or_else(|| variables.find(|name| !open && is_an_agents_variable(name)).map(|name| agent("variable", name)))
    })
}

/// Refuses variables that a proxy would act on.
pub fn check_variables<'a>(
    terms: &Terms<'_>,
    at: &Positions,
    path: &str,
    names: impl Iterator<Item = &'a String>,
    refused: &mut Refused,
) {
    for name in names.filter(|_| !terms.allow.proxy_labels) {
        if is_an_agents_variable(name) {
            let at = at.of(&format!("environment.{name}"));
            let remedy = "a proxy on the host may act on it, and proxyLabels is not opened";
            refused.add(at, &format!("{path}.environment"), name, remedy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::act::ImageMarkings;

    #[test]
    fn an_image_may_not_say_for_its_user_what_that_one_may_not_say() {
        let reserved = ["backup.*".to_owned()];
        let open = DockerAllow { proxy_labels: true, ..DockerAllow::default() };
        let closed = DockerAllow::default();
        for (allow, label, variable, told) in [
            (&closed, "Traefik.http.routers.bank.rule", "PATH", Some("label Traefik.http.routers.bank.rule, on which")),
            (&open, "traefik.http.routers.bank.rule", "VIRTUAL_HOST", None),
            (&closed, "maintainer", "VIRTUAL_HOST", Some("variable VIRTUAL_HOST, on which")),
            (&open, "backup.now", "PATH", Some("label backup.now, which the host's administrator reserves")),
            (&closed, "cloudfaster.app/uid", "PATH", None),
            (&closed, "org.opencontainers.image.source", "NGINX_VERSION", None),
        ] {
            let image = ImageMarkings { labels: vec![label.into()], variables: vec![variable.into()] };
            let refused = admission(&reserved, allow)(&image);
            match told {
                Some(words) => assert!(refused.as_ref().is_some_and(|why| why.contains(words)), "{label}: {refused:?}"),
                None => assert_eq!(refused, None, "{label}"),
            }
        }
    }
}
