//! From a tree to the model: every attribute is read, or told to be unknown or refused.

mod files;
mod life;
mod mounts;
mod network;
mod reader;
mod refused;
mod resources;
mod service;
mod units;

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::budget::Budget;
use super::interpolate::{Variables, join};
use super::model::{At, Positions, Project, Volume};
use super::problem::Problem;
use super::sources::Sources;
use super::tree::{Map, Node, Value};
use reader::{Fields, Item};

pub use reader::Complaints;

/// Reads a project from the tree of all its files.
pub struct Decoder<'a> {
    /// Where `env_file`, `label_file`, configs and secrets are read from.
    pub sources: &'a Sources,
    /// The variables.
    pub variables: &'a Variables,
    /// The values of configs and secrets from variables, by section, name and variable.
    pub values: &'a BTreeMap<(String, String, String), String>,
    /// What is left of the budget.
    pub budget: RefCell<Budget>,
    /// What is wrong.
    pub complaints: Complaints,
}

impl Decoder<'_> {
    /// Reads the whole. `profiles` are those that are active. What no service uses is left out, as Docker Compose has it.
    pub fn project(&self, tree: &Node, name: &str, profiles: &[String]) -> Project {
        let top = Item { node: tree, path: String::new(), complaints: &self.complaints };
        let mut fields = top.fields();
        // The name is the resource's to give, and the version means nothing any more.
        let _ = (fields.item("name"), fields.item("version"));
        let mut project = Project { name: name.to_owned(), ..Project::default() };
        for (name, item) in named(&mut fields, "services") {
            let enabled = enabled(&item, profiles);
            if enabled {
                project.services.insert(name, self.service(&item));
            } else {
                project.disabled.push(name);
            }
        }
        project.networks = named(&mut fields, "networks").map(|(name, item)| (name, network::network(&item))).collect();
        project.volumes = named(&mut fields, "volumes").map(|(name, item)| (name, volume(&item))).collect();
        let services = || project.services.values();
        let configs = services().flat_map(|service| &service.configs).map(|grant| grant.source.clone()).collect();
        let built = services().filter_map(|service| service.build.as_ref()).flat_map(|build| &build.secrets);
        let secrets =
            services().flat_map(|service| &service.secrets).chain(built).map(|grant| grant.source.clone()).collect();
        project.configs = self.file_objects(&mut fields, "configs", &configs);
        project.secrets = self.file_objects(&mut fields, "secrets", &secrets);
        fields.finish();
        project
    }
}

/// The things of a section, whose names are checked.
fn named<'a>(fields: &mut Fields<'a>, section: &'static str) -> impl Iterator<Item = (String, Item<'a>)> + use<'a> {
    let entries = fields.item(section).map(|item| item.entries()).unwrap_or_default();
    entries.into_iter().filter_map(|(name, item)| {
        let valid = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')) && !name.is_empty();
        if !valid {
            item.complain("this is no valid name", "use letters, digits, `.`, `_` and `-`");
        }
        valid.then(|| (name.to_owned(), item))
    })
}

fn enabled(item: &Item<'_>, profiles: &[String]) -> bool {
    let own = item.node.map().and_then(|service| service.get("profiles")).and_then(Node::list).unwrap_or_default();
    let active = |own: &Node| profiles.iter().any(|profile| profile == "*" || own.text() == Some(profile));
    own.is_empty() || own.iter().any(active)
}

fn volume(item: &Item<'_>) -> Volume {
    let mut fields = item.fields();
    let volume = Volume {
        at: positions(item),
        name: fields.text("name").unwrap_or_default(),
        external: fields.flag("external"),
        driver: fields.text("driver"),
        driver_opts: fields.pairs("driver_opts"),
        labels: fields.pairs("labels"),
    };
    let binds = volume.driver_opts.get("o").is_some_and(|options| options.split(',').any(|option| option == "bind"));
    if binds && volume.driver_opts.get("device").is_some_and(|device| !device.starts_with('/')) {
        item.complain(
            "`driver_opts.device` must be an absolute path of the host",
            "use a volume, or a bind mount of the service",
        );
    }
    fields.finish();
    volume
}

/// How deep attributes get positions of their own.
const DEPTH: usize = 3;

/// Where something is declared, and its attributes.
fn positions(item: &Item<'_>) -> Positions {
    let mut positions = Positions::new(item.at());
    collect(item.node, "", DEPTH, &mut |path, at| positions.insert(path, at));
    positions
}

fn collect(node: &Node, path: &str, depth: usize, insert: &mut impl FnMut(String, At)) {
    let Some(deeper) = depth.checked_sub(1) else { return };
    let mut visit = |key: &str, node: &Node| {
        let path = join(path, key);
        collect(node, &path, deeper, insert);
        insert(path, node.at.clone());
    };
    match &node.value {
        Value::Map(map) => map.iter().for_each(|(key, node)| visit(key, node)),
        Value::List(items) => items.iter().enumerate().for_each(|(index, node)| visit(&index.to_string(), node)),
        _ => {}
    }
}

/// The whole tree as one value.
pub fn whole(tree: Map) -> Node {
    Node { value: Value::Map(tree), ..Node::default() }
}

/// What could not be kept within the budget.
fn too_large(at: &At) -> Problem {
    super::yaml::too_large(at)
}
