//! Entries of `volumes`: `[SOURCE:]TARGET[:OPTIONS]` and its long form.

use super::Canonical;
use crate::docker::compose::interpolate::join;
use crate::docker::compose::model::{Propagation, SeLinux};
use crate::docker::compose::problem::{Problem, add};
use crate::docker::compose::sources::clean_absolute;
use crate::docker::compose::tree::{Map, Node, Value};

impl Canonical<'_> {
    pub(super) fn volume(&mut self, node: &mut Node, path: &str) {
        if let Some(text) = node.text() {
            match written_out(text, node) {
                Ok(map) => node.value = Value::Map(map),
                Err((message, remedy)) => {
                    add(self.problems, Problem::new(&node.at, path, format!("{}: {message}", node.shown()), remedy));
                    return;
                }
            }
        }
        let Some(map) = node.map_mut() else { return };
        if map.get("type").and_then(Node::text) == Some("bind")
            && let Some(source) = map.get_mut("source")
        {
            self.bind_source(source, &join(path, "source"));
        }
        if let Some(target) = map.get_mut("target")
            && let Value::Text(text) = &target.value
        {
            target.value = Value::Text(clean_target(text));
        }
    }

    /// An absolute path of the host, or a path inside of the sources.
    fn bind_source(&mut self, node: &mut Node, path: &str) {
        let Some(text) = node.text() else { return };
        if text.starts_with('/') {
            node.value = Value::Text(clean_absolute(text));
        } else if text.starts_with('~') {
            let message = format!("{} is in a home folder, which nobody has here", node.shown());
            add(
                self.problems,
                Problem::new(&node.at, path, message, "use a volume, or a path inside of the project's files"),
            );
        } else {
            self.tree_path(node, path);
        }
    }
}

fn clean_target(target: &str) -> String {
    if target.starts_with('/') { clean_absolute(target) } else { target.to_owned() }
}

type Refusal = (String, &'static str);

fn written_out(text: &str, node: &Node) -> Result<Map, Refusal> {
    let parts: Vec<&str> = text.split(':').collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Err(("a part is empty".to_owned(), "write `SOURCE:TARGET`"));
    }
    let (source, target, options) = match parts.as_slice() {
        [target] => (None, *target, ""),
        [source, target] => (Some(*source), *target, ""),
        [source, target, options] => (Some(*source), *target, *options),
        _ => return Err(("too many colons".to_owned(), "use the long form")),
    };
    let value = |text: &str| Node::in_place_of(node, Value::Text(text.to_owned()));
    let is_path = source.is_some_and(|source| source.starts_with(['.', '/', '~']));
    let mut map = Map::from([
        ("type".to_owned(), value(if is_path { "bind" } else { "volume" })),
        ("target".to_owned(), value(target)),
    ]);
    map.extend(source.map(|source| ("source".to_owned(), value(source))));
    let mut bind = Map::new();
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" | "rw" => {
                map.insert("read_only".to_owned(), Node::in_place_of(node, Value::Bool(option == "ro")));
            }
            "nocopy" if !is_path => {
                let nocopy = Map::from([("nocopy".to_owned(), Node::in_place_of(node, Value::Bool(true)))]);
                map.insert("volume".to_owned(), Node::in_place_of(node, Value::Map(nocopy)));
            }
            // Hints for Docker Desktop, which Docker Compose drops too.
            "cached" | "delegated" | "consistent" => {}
            _ if option == SeLinux::Shared.as_str() || option == SeLinux::Private.as_str() => {
                bind.insert("selinux".to_owned(), value(option));
            }
            _ if is_path && Propagation::ALL.iter().any(|known| known.as_str() == option) => {
                bind.insert("propagation".to_owned(), value(option));
            }
            _ => {
                let message = match node.from_variables {
                    true => "an option is unknown, or has no meaning for it".to_owned(),
                    false => format!("the option `{option}` is unknown, or has no meaning for it"),
                };
                return Err((message, "known are `ro`, `rw`, `nocopy`, `z`, `Z`, and for paths those of propagation"));
            }
        }
    }
    if !bind.is_empty() {
        map.insert("bind".to_owned(), Node::in_place_of(node, Value::Map(bind)));
    }
    Ok(map)
}
