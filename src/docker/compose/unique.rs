//! Entries of lists that mean the same thing: the last one counts, at the place of the first.

use std::collections::HashMap;

use super::path::{Path, descend};
use super::tree::{Node, Value};

/// Removes what is said twice, everywhere in a tree.
pub fn enforce(node: &mut Node, path: &Path<'_>) {
    match &mut node.value {
        Value::Map(map) => map.iter_mut().for_each(|(key, value)| enforce(value, &descend(path, key))),
        Value::List(items) => {
            if let Some(key_of) = key_of(path) {
                keep_last(items, key_of);
            }
        }
        _ => {}
    }
}

type KeyOf = fn(&Node) -> Option<String>;

fn key_of(path: &Path<'_>) -> Option<KeyOf> {
    match path {
        [
            "services",
            _,
            "cap_add" | "cap_drop" | "dns" | "dns_opt" | "dns_search" | "links" | "profiles" | "tmpfs" | "expose",
        ]
        | ["services", _, "build", "tags"]
        | ["services", _, "networks", _, "aliases" | "link_local_ips"] => Some(name),
        ["services", _, "configs"] => Some(|node| file_target(node, "")),
        ["services", _, "secrets"] => Some(|node| file_target(node, "/run/secrets")),
        ["services", _, "volumes" | "devices"] => Some(|node| field(node, "target")),
        ["services", _, "ports"] => Some(port),
        ["services", _, "env_file"] => Some(|node| field(node, "path")),
        _ => None,
    }
}

fn keep_last(items: &mut Vec<Node>, key_of: KeyOf) {
    let mut kept: Vec<Node> = Vec::with_capacity(items.len());
    let mut places: HashMap<String, usize> = HashMap::new();
    for item in std::mem::take(items) {
        let place = key_of(&item).map(|key| *places.entry(key).or_insert(kept.len()));
        match place.and_then(|place| kept.get_mut(place)) {
            Some(earlier) => *earlier = item,
            None => kept.push(item),
        }
    }
    *items = kept;
}

fn name(node: &Node) -> Option<String> {
    let text = node.printed()?;
    Some(text.split_once('=').map_or(text.clone(), |(name, _)| name.to_owned()))
}

fn field(node: &Node, name: &str) -> Option<String> {
    node.map()?.get(name)?.printed()
}

fn file_target(node: &Node, folder: &str) -> Option<String> {
    field(node, "target").or_else(|| Some(format!("{folder}/{}", field(node, "source")?)))
}

fn port(node: &Node) -> Option<String> {
    let target = field(node, "target")?;
    let of = |name, default: &str| field(node, name).unwrap_or_else(|| default.to_owned());
    Some(format!("{}:{}:{target}/{}", of("host_ip", "0.0.0.0"), of("published", ""), of("protocol", "tcp")))
}
