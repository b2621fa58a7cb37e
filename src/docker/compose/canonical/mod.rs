//! Short forms are written out, and relative paths are seen from the folder of their file.
//!
//! What has a wrong form is left as it is: whoever reads it tells.

mod ports;
mod volumes;

pub use ports::range as port_range;

use super::budget::Budget;
use super::interpolate::join;
use super::model::Condition;
use super::problem::{Problem, add};
use super::sources::inside;
use super::tree::{Map, Node, Value};

/// Writes out a file's tree.
pub struct Canonical<'a> {
    /// The folder that relative paths start from.
    pub folder: &'a str,
    /// What is left of the budget.
    pub budget: &'a mut Budget,
    /// What is wrong.
    pub problems: &'a mut Vec<Problem>,
}

impl Canonical<'_> {
    /// Writes out a whole file.
    pub fn file(&mut self, file: &mut Map) {
        for (name, service) in entries(file, "services") {
            let path = join("services", name);
            if let Some(service) = service.map_mut() {
                self.service(service, &path);
            }
        }
        for section in ["configs", "secrets"] {
            for (name, object) in entries(file, section) {
                let path = join(&join(section, name), "file");
                if let Some(node) = object.map_mut().and_then(|object| object.get_mut("file")) {
                    self.tree_path(node, &path);
                }
            }
        }
        for section in ["networks", "volumes", "configs", "secrets"] {
            for (name, resource) in entries(file, section) {
                let path = join(section, name);
                if let Some(resource) = resource.map_mut() {
                    self.external(resource, &path);
                    self.key_values(resource, "labels", &path);
                }
            }
        }
    }

    fn service(&mut self, service: &mut Map, path: &str) {
        for key in ["environment", "labels", "annotations", "sysctls"] {
            self.key_values(service, key, path);
        }
        for key in ["dns", "dns_search", "tmpfs"] {
            one_to_list(service, key);
        }
        for key in ["configs", "secrets"] {
            items(service, key).for_each(|item| from_text(item, "source"));
        }
        items(service, "devices").for_each(device);
        if let Some(node) = service.get_mut("networks") {
            names_to_map(node, |_| Value::Null);
        }
        if let Some(node) = service.get_mut("depends_on") {
            names_to_map(node, |name| {
                let value = |value| Node::in_place_of(name, value);
                let condition = value(Value::Text(Condition::ServiceStarted.as_str().to_owned()));
                let required = value(Value::Bool(true));
                Value::Map(Map::from([("condition".to_owned(), condition), ("required".to_owned(), required)]))
            });
        }
        if let Some(node) = service.get_mut("gpus")
            && node.text() == Some("all")
        {
            let all = Map::from([("count".to_owned(), node.clone())]);
            node.value = Value::List(vec![Node::in_place_of(node, Value::Map(all))]);
        }
        if let Some(node) = service.get_mut("extends") {
            from_text(node, "service");
            let path = join(path, "extends.file");
            if let Some(file) = node.map_mut().and_then(|extends| extends.get_mut("file")) {
                self.tree_path(file, &path);
            }
        }
        one_to_list(service, "env_file");
        for (index, file) in items(service, "env_file").enumerate() {
            from_text(file, "path");
            let path = join(path, &format!("env_file.{index}.path"));
            if let Some(file) = file.map_mut().and_then(|file| file.get_mut("path")) {
                self.tree_path(file, &path);
            }
        }
        one_to_list(service, "label_file");
        for (index, file) in items(service, "label_file").enumerate() {
            self.tree_path(file, &join(path, &format!("label_file.{index}")));
        }
        for (index, volume) in items(service, "volumes").enumerate() {
            self.volume(volume, &join(path, &format!("volumes.{index}")));
        }
        if let Some(ports) = service.get_mut("ports") {
            self.ports(ports, &join(path, "ports"));
        }
        if let Some(build) = service.get_mut("build") {
            self.build(build, &join(path, "build"));
        }
    }

    fn build(&mut self, build: &mut Node, path: &str) {
        from_text(build, "context");
        let Some(build) = build.map_mut() else { return };
        for key in ["args", "labels", "additional_contexts"] {
            self.key_values(build, key, path);
        }
        for key in ["cache_from", "cache_to", "no_cache_filter"] {
            one_to_list(build, key);
        }
        items(build, "secrets").for_each(|item| from_text(item, "source"));
        if let Some(context) = build.get_mut("context") {
            self.build_context(context, &join(path, "context"));
        }
        for (name, context) in entries(build, "additional_contexts") {
            self.build_context(context, &join(path, &join("additional_contexts", name)));
        }
    }

    fn build_context(&mut self, node: &mut Node, path: &str) {
        let remote = |text: &str| {
            text.contains("://") || ["service:", "github.com/", "git@"].iter().any(|prefix| text.starts_with(prefix))
        };
        if !node.text().is_some_and(remote) {
            self.tree_path(node, path);
        }
    }

    /// `external: {name: x}`, the old form, becomes `external: true` and `name: x`.
    fn external(&mut self, resource: &mut Map, path: &str) {
        let Some(node) = resource.get_mut("external") else { return };
        let Value::Map(external) = &mut node.value else { return };
        let name = external.remove("name");
        if let Some((key, unknown)) = external.first_key_value() {
            let message = format!("the attribute `{key}` is unknown");
            add(self.problems, Problem::new(&unknown.at, join(path, "external"), message, "remove it"));
        }
        node.value = Value::Bool(true);
        let Some(name) = name else { return };
        match resource.get("name") {
            Some(other) if *other != name => {
                let message = "`name` and `external.name` differ";
                add(self.problems, Problem::new(&name.at, join(path, "external.name"), message, "give `name` only"));
            }
            _ => {
                resource.insert("name".to_owned(), name);
            }
        }
    }

    /// A list of `key=value` becomes a mapping; a key alone has no value.
    fn key_values(&mut self, map: &mut Map, key: &str, path: &str) {
        let Some(node) = map.get_mut(key) else { return };
        let Value::List(items) = &node.value else { return };
        let mut pairs = Map::new();
        for (index, item) in items.iter().enumerate() {
            let Some(text) = item.text() else {
                let message = format!("an entry must be a text `key=value`, not {}", item.shown());
                let path = join(path, &join(key, &index.to_string()));
                add(self.problems, Problem::new(&item.at, path, message, "write `key=value`"));
                continue;
            };
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name, Value::Text(value.to_owned())),
                None => (text, Value::Null),
            };
            if key == "environment" && name.ends_with(char::is_whitespace) {
                let path = join(path, &join(key, &index.to_string()));
                let message = "the name of a variable ends with a space";
                add(self.problems, Problem::new(&item.at, path, message, "remove the space before `=`"));
            }
            pairs.insert(name.to_owned(), Node::in_place_of(item, value));
        }
        node.value = Value::Map(pairs);
    }

    /// A path that must be inside of the sources.
    fn tree_path(&mut self, node: &mut Node, path: &str) {
        let Some(text) = node.text() else { return };
        match inside(self.folder, text).filter(|_| !text.starts_with('~')) {
            Some(inside) => node.value = Value::Path(inside),
            None => {
                let message = format!("{} leads out of the project's files", node.shown());
                let remedy = "use a path inside of them, from the folder of the compose file";
                add(self.problems, Problem::new(&node.at, path, message, remedy));
                node.value = Value::Path(".".to_owned());
            }
        }
    }
}

fn entries<'a>(map: &'a mut Map, key: &str) -> impl Iterator<Item = (&'a String, &'a mut Node)> {
    map.get_mut(key).and_then(Node::map_mut).into_iter().flatten()
}

fn items<'a>(map: &'a mut Map, key: &str) -> std::slice::IterMut<'a, Node> {
    match map.get_mut(key).map(|node| &mut node.value) {
        Some(Value::List(items)) => items.iter_mut(),
        _ => [].iter_mut(),
    }
}

/// A text becomes a mapping with a single key.
fn from_text(node: &mut Node, key: &str) {
    if node.text().is_some() {
        let text = node.clone();
        node.value = Value::Map(Map::from([(key.to_owned(), text)]));
    }
}

/// A text becomes a list with a single entry.
fn one_to_list(map: &mut Map, key: &str) {
    if let Some(node) = map.get_mut(key)
        && matches!(node.value, Value::Text(_) | Value::Map(_))
    {
        node.value = Value::List(vec![Node::in_place_of(node, node.value.clone())]);
    }
}

/// A list of names becomes a mapping.
fn names_to_map(node: &mut Node, value: fn(&Node) -> Value) {
    if let Value::List(items) = &node.value
        && items.iter().all(|item| item.text().is_some())
    {
        let pairs =
            items.iter().filter_map(|item| Some((item.text()?.to_owned(), Node::in_place_of(item, value(item)))));
        node.value = Value::Map(pairs.collect());
    }
}

/// `SOURCE[:TARGET[:PERMISSIONS]]` becomes a mapping.
fn device(node: &mut Node) {
    let Some(text) = node.text() else { return };
    let mut parts = text.split(':');
    let (source, target, permissions) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    // One part too many is left as it is: whoever reads it tells.
    if parts.next().is_some() {
        return;
    }
    let target = target.filter(|target| !target.is_empty()).unwrap_or(source);
    let pairs = [("source", source), ("target", target), ("permissions", permissions.unwrap_or("rwm"))];
    let pairs = pairs.map(|(key, text)| (key.to_owned(), Node::in_place_of(node, Value::Text(text.to_owned()))));
    node.value = Value::Map(pairs.into());
}
