//! How images may be built.

use std::collections::BTreeMap;

use super::{Refused, Terms, container, image, names};
use crate::{
    api::docker_tenant::AllowedBuild,
    controller::policy::{list, matches_any},
    docker::compose::model::{Build, BuildContext, Positions},
};

/// Refuses a build that may not be made. Where the image has a name of its own, it becomes that of what is built.
pub fn check(terms: &Terms<'_>, path: &str, at: &Positions, build: &Build, image: Option<&str>, refused: &mut Refused) {
    let Build {
        context,
        // Both are of the context, or of the object itself.
        dockerfile: _,
        dockerfile_inline: _,
        args: _,
        labels,
        cache_from,
        cache_to,
        no_cache: _,
        no_cache_filter: _,
        additional_contexts,
        pull: _,
        target: _,
        network,
        shm_size: _,
        extra_hosts: _,
        // Of the object's own.
        secrets: _,
        tags,
        ulimits,
        platforms: _,
        privileged,
        entitlements,
        provenance: _,
        sbom: _,
    } = build;
    let whole = format!("{path}.build");
    let Some(allowed) = &terms.allow.build else {
        let what = match context {
            BuildContext::Project(context) | BuildContext::Remote(context) => context,
        };
        refused.add(at.of("build"), &whole, what, "no image may be built; name one that a registry has");
        return;
    };
    if let BuildContext::Remote(url) = context {
        remote(allowed, at, "build.context", path, url, refused);
    }
    for (name, context) in additional_contexts {
        further(terms, allowed, at, path, name, context, refused);
    }
    if let Some(network) = network {
        check_network(terms, allowed, at, path, network, refused);
    }
    if *privileged && !allowed.privileged {
        refused.add(
            at.of("build.privileged"),
            &format!("{whole}.privileged"),
            "true",
            "privileged builds are not opened",
        );
    }
    for entitlement in entitlements.iter().filter(|_| !allowed.privileged) {
        let remedy = "privileged builds are not opened";
        refused.add(at.of("build.entitlements"), &format!("{whole}.entitlements"), entitlement, remedy);
    }
    for tag in tags {
        image::check_tag(terms, at.of("build.tags"), &format!("{whole}.tags"), tag, refused);
    }
    if let Some(image) = image {
        image::check_tag(terms, at.of("image"), &format!("{path}.image"), image, refused);
    }
    for (attribute, caches) in [("cache_from", cache_from), ("cache_to", cache_to)] {
        for cache in caches {
            check_cache(terms, at, path, attribute, cache, refused);
        }
    }
    check_labels(terms, at, path, labels, refused);
    container::check_ulimits(terms, at, path, "build.ulimits", ulimits.keys(), refused);
}

fn check_labels(
    terms: &Terms<'_>,
    at: &Positions,
    path: &str,
    labels: &BTreeMap<String, String>,
    refused: &mut Refused,
) {
    // Containers inherit the labels of their image.
    names::check_labels(terms, at, path, "build.labels", labels, refused);
}

/// A context that the engine, or we for it, fetch from somewhere.
fn remote(allowed: &AllowedBuild, at: &Positions, attribute: &str, path: &str, url: &str, refused: &mut Refused) {
    // Whoever may name a host may not put it in as the user of another, nor climb out of a folder.
    let plain = !url.contains('@') && !url.contains("..") && !url.contains('\\') && !url.contains('%');
    if !plain || !matches_any(&allowed.remote_contexts, url) {
        let list = list(allowed.remote_contexts.iter().cloned(), "no context may be fetched from elsewhere");
        refused.add(at.of(attribute), &format!("{path}.{attribute}"), url, &list);
    }
}

fn further(
    terms: &Terms<'_>,
    allowed: &AllowedBuild,
    at: &Positions,
    path: &str,
    name: &str,
    context: &str,
    refused: &mut Refused,
) {
    let attribute = format!("build.additional_contexts.{name}");
    match context.split_once("://") {
        Some(("docker-image", reference)) => {
            image::check(terms, at.of(&attribute), &format!("{path}.{attribute}"), reference, refused);
        }
        Some(_) => remote(allowed, at, &attribute, path, context, refused),
        None if context.starts_with("service:") || context.starts_with("target:") => {}
        // `git@host:path`, and paths of the host.
        None if context.contains('@') || context.contains(':') || context.starts_with(['/', '~']) => {
            remote(allowed, at, &attribute, path, context, refused);
        }
        None if context.split('/').any(|part| part == "..") => {
            remote(allowed, at, &attribute, path, context, refused);
        }
        None => {}
    }
}

fn check_network(
    terms: &Terms<'_>,
    allowed: &AllowedBuild,
    at: &Positions,
    path: &str,
    network: &str,
    refused: &mut Refused,
) {
    let (open, remedy) = match network {
        "default" | "none" => return,
        "host" => (allowed.privileged, "privileged builds are not opened".to_owned()),
        other => match other.strip_prefix("container:") {
            Some(container) => {
                let remedy = list(terms.allow.containers.iter().cloned(), "nothing is shared with other containers");
                (matches_any(&terms.allow.containers, container), remedy)
            }
            None => {
                let remedy = list(terms.allow.external_networks.iter().cloned(), "leave it out, or write none");
                (matches_any(&terms.allow.external_networks, other), remedy)
            }
        },
    };
    if !open {
        refused.add(at.of("build.network"), &format!("{path}.build.network"), network, &remedy);
    }
}

/// A cache is an image, or a `type=registry` of one: all other types name folders, buckets or services.
fn check_cache(terms: &Terms<'_>, at: &Positions, path: &str, kind: &str, cache: &str, refused: &mut Refused) {
    let attribute = format!("build.{kind}");
    let (at, whole) = (at.of(&attribute), format!("{path}.{attribute}"));
    if !cache.contains('=') {
        image::check(terms, at, &whole, cache, refused);
        return;
    }
    let pairs: BTreeMap<&str, &str> = cache.split(',').filter_map(|pair| pair.split_once('=')).collect();
    match (pairs.get("type"), pairs.get("ref")) {
        (Some(&"registry"), Some(reference)) => image::check(terms, at, &whole, reference, refused),
        (Some(&"inline"), None) => {}
        _ => refused.add(at, &whole, cache, "allowed: an image, type=registry with its ref, type=inline"),
    }
}
