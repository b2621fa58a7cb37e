//! How a later file is laid over an earlier one, and how a service is laid over the one that it extends.
//!
//! Mappings are merged, lists are joined, everything else is replaced; some attributes have rules of their own. The trees are
//! in their long forms already.

use std::collections::{HashMap, HashSet};

use super::path::{Path, descend};
use super::problem::Problem;
use super::tree::{Map, Node, Value};

/// How an attribute is merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// As its form says.
    Usual,
    /// The later one stands.
    Replace,
    /// By key; a key without a value replaces one with a value.
    ByKey,
    /// Joined as a list, whichever form they have.
    Join,
    /// Merged if the driver is the same, replaced otherwise.
    Logging,
    /// Merged if both are pairs, replaced otherwise.
    Ulimit,
    /// By subnet.
    Ipam,
}

fn rule(path: &Path<'_>) -> Rule {
    match path {
        ["services", _, "command" | "entrypoint"] | ["services", _, "healthcheck", "test"] => Rule::Replace,
        ["services", _, "annotations" | "environment" | "labels" | "sysctls"]
        | ["services", _, "build", "args" | "additional_contexts" | "labels"]
        | ["services", _, "deploy", "labels"]
        | ["networks" | "volumes" | "secrets" | "configs", _, "labels"] => Rule::ByKey,
        ["services", _, "dns" | "dns_opt" | "dns_search" | "env_file" | "label_file" | "extra_hosts" | "tmpfs"]
        | ["services", _, "build", "extra_hosts"] => Rule::Join,
        ["services", _, "logging"] => Rule::Logging,
        ["services", _, "ulimits", _] => Rule::Ulimit,
        ["networks", _, "ipam", "config"] => Rule::Ipam,
        _ => Rule::Usual,
    }
}

/// Lays one value over another.
pub fn merge(base: Node, over: Node, path: &Path<'_>) -> Result<Node, Problem> {
    let rule = rule(path);
    if over.value == Value::Null && !matches!(rule, Rule::Replace | Rule::Ulimit) {
        return Ok(base);
    }
    if base.value == Value::Null {
        return Ok(over);
    }
    if rule == Rule::Join {
        let at = over.at.clone();
        let items = join(sequence(base), sequence(over));
        return Ok(Node { at, value: Value::List(items), ..Node::default() });
    }
    let at = over.at.clone();
    let with =
        |value| Ok(Node { at, mark: over.mark, from_variables: base.from_variables || over.from_variables, value });
    match (rule, base.value, over.value) {
        (Rule::Replace, _, over) => with(over),
        (Rule::ByKey, Value::Map(mut base), Value::Map(over)) => {
            base.extend(over);
            with(Value::Map(base))
        }
        (Rule::Logging, Value::Map(base), Value::Map(over)) => {
            let same = match (base.get("driver"), over.get("driver")) {
                (Some(base), Some(over)) => base == over,
                _ => true,
            };
            with(Value::Map(if same { merge_maps(base, over, path)? } else { over }))
        }
        (Rule::Ipam, Value::List(base), Value::List(over)) => with(Value::List(merge_pools(base, over, path)?)),
        (_, Value::Map(base), Value::Map(over)) => with(Value::Map(merge_maps(base, over, path)?)),
        (Rule::Usual, Value::List(base), Value::List(over)) => with(Value::List(join(base, over))),
        (Rule::Usual | Rule::ByKey | Rule::Logging | Rule::Ipam, Value::Map(_) | Value::List(_), _) => {
            let message = "this cannot be laid over what an earlier file says";
            Err(Problem::new(
                &over.at,
                path.join("."),
                message,
                "give it the same form, or write `!override` before it",
            ))
        }
        (_, _, over) => with(over),
    }
}

/// Lays the keys of one mapping over those of another.
pub fn merge_maps(mut base: Map, over: Map, path: &Path<'_>) -> Result<Map, Problem> {
    for (key, value) in over {
        let merged = match base.remove(&key) {
            Some(earlier) => merge(earlier, value, &descend(path, &key))?,
            None => value,
        };
        base.insert(key, merged);
    }
    Ok(base)
}

/// Joins two lists; what is in both appears once.
fn join(mut base: Vec<Node>, over: Vec<Node>) -> Vec<Node> {
    let mut known: HashSet<String> = base.iter().map(Node::fingerprint).collect();
    base.extend(over.into_iter().filter(|node| known.insert(node.fingerprint())));
    base
}

/// A value as a list: a mapping as `key=value` texts in order.
fn sequence(node: Node) -> Vec<Node> {
    match node.value {
        Value::List(items) => items,
        Value::Map(map) => {
            let entries = map.into_iter().flat_map(|(key, node)| match &node.value {
                Value::List(items) => items.iter().map(|item| entry(&key, item)).collect(),
                Value::Null => vec![Node::in_place_of(&node, Value::Text(key))],
                _ => vec![entry(&key, &node)],
            });
            let mut entries: Vec<Node> = entries.collect();
            entries.sort_by(|a, b| a.text().cmp(&b.text()));
            entries
        }
        _ => vec![node],
    }
}

fn entry(key: &str, node: &Node) -> Node {
    Node::in_place_of(node, Value::Text(format!("{key}={}", node.printed().unwrap_or_default())))
}

/// Merges address ranges of the same subnet, and adds the others.
fn merge_pools(base: Vec<Node>, over: Vec<Node>, path: &Path<'_>) -> Result<Vec<Node>, Problem> {
    let subnet = |node: &Node| node.map().and_then(|map| map.get("subnet")).map(Node::fingerprint);
    let mut places: HashMap<Option<String>, usize> =
        base.iter().enumerate().map(|(place, pool)| (subnet(pool), place)).collect();
    let mut pools = base;
    for pool in over {
        let place = *places.entry(subnet(&pool)).or_insert(pools.len());
        match pools.get_mut(place) {
            Some(earlier) => *earlier = merge(std::mem::take(earlier), pool, &descend(path, "[]"))?,
            None => pools.push(pool),
        }
    }
    Ok(pools)
}
