//! From files to one tree: documents, variables, includes, extensions and merging, in the order of Docker Compose.

mod extends;
mod include;

use std::collections::BTreeMap;

use super::budget::{Budget, MAX_FILE};
use super::canonical::Canonical;
use super::dotenv;
use super::hidden::Hidden;
use super::interpolate::{Interpolation, Variables};
use super::merge::merge_maps;
use super::model::At;
use super::problem::Problem;
use super::reset::Resets;
use super::sources::{Found, Sources};
use super::tree::{Map, Node, Value};
use super::unique;
use super::yaml::{documents, too_large};

/// Reads files, and keeps account of what was found on the way.
pub struct Loader<'a> {
    /// The files.
    pub sources: &'a Sources,
    /// What is left of the budget.
    pub budget: Budget,
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What came out of variables, and is not told.
    pub hidden: Hidden,
    /// Where a variable without a value is used first, by its name.
    pub unset: BTreeMap<String, Problem>,
    /// The values of configs and secrets from variables, by section, name and variable: each as its file sees it.
    pub values: BTreeMap<(String, String, String), String>,
}

/// A file's tree, with variables put in and short forms written out.
struct Document {
    tree: Map,
    resets: Resets,
}

impl<'a> Loader<'a> {
    /// Starts with nothing read.
    pub fn new(sources: &'a Sources) -> Self {
        let (problems, unset, values) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        Self { sources, budget: Budget::default(), problems, hidden: Hidden::default(), unset, values }
    }

    /// Reads files that are laid over one another, with everything that they include and extend. `including` are the files
    /// that wait for this.
    pub fn model(
        &mut self,
        files: &[String],
        folder: &str,
        variables: &Variables,
        asked_at: &At,
        including: &[String],
    ) -> Result<Map, Problem> {
        let mut whole = Node::in_place_of(&Node::default(), Value::Map(Map::new()));
        for file in files {
            let including = [including, std::slice::from_ref(file)].concat();
            for mut document in self.documents(file, folder, variables, asked_at)? {
                self.include(&mut document, folder, variables, &including)?;
                document.resets.apply(&mut whole, &[]);
                self.extend(&mut document, file, variables)?;
                let earlier = std::mem::take(&mut whole.value);
                if let Value::Map(earlier) = earlier {
                    whole.value = Value::Map(merge_maps(earlier, document.tree, &[])?);
                }
                unique::enforce(&mut whole, &[]);
            }
        }
        let mut tree = match whole.value {
            Value::Map(tree) => tree,
            _ => Map::new(),
        };
        fill_in_build_contexts(&mut tree, folder);
        self.take_values(&mut tree, variables);
        Ok(tree)
    }

    /// The documents of a file.
    fn documents(
        &mut self,
        file: &str,
        folder: &str,
        variables: &Variables,
        asked_at: &At,
    ) -> Result<Vec<Document>, Problem> {
        let text = self.text(file, asked_at, "")?;
        let mut read = Vec::new();
        for mut node in documents(file, &text, &mut self.budget)? {
            let resets = Resets::extract(&mut node)?;
            let mut interpolation = Interpolation {
                variables,
                budget: &mut self.budget,
                problems: &mut self.problems,
                hidden: &mut self.hidden,
                unset: &mut self.unset,
            };
            interpolation.apply(&mut node, "")?;
            let at = node.at.clone();
            let Value::Map(mut tree) = node.value else {
                let message = format!("the file must be a mapping, not {}", node.shown());
                return Err(Problem::new(&at, "", message, "start with `services:`"));
            };
            Canonical { folder, budget: &mut self.budget, problems: &mut self.problems }.file(&mut tree);
            read.push(Document { tree, resets });
        }
        Ok(read)
    }

    /// The text of a file.
    pub fn text(&mut self, file: &str, asked_at: &At, asked_by: &str) -> Result<String, Problem> {
        let problem = |message: String, remedy: &str| Problem::new(asked_at, asked_by, message, remedy);
        let content = match self.sources.find(file) {
            Found::File(content) => content,
            Found::Folder => return Err(problem(format!("`{file}` is a folder"), "name a file")),
            Found::Unreadable(why) => return Err(problem(why, "name a file that can be read")),
            Found::Nothing => {
                return Err(problem(
                    format!("there is no file `{file}`"),
                    "add it to the project, or correct the path",
                ));
            }
        };
        if content.len() > MAX_FILE {
            let message = format!("`{file}` has more than {} KiB", MAX_FILE / 1024);
            return Err(problem(message, "make it smaller, or divide it"));
        }
        self.budget.spend(content.len()).map_err(|_| too_large(asked_at))?;
        String::from_utf8(content.into()).map_err(|_| problem(format!("`{file}` is not in UTF-8"), "save it in UTF-8"))
    }

    /// The variables that a file sees: those that are given, and behind them those of `.env` files, the last of which counts.
    pub fn with_files(&mut self, given: &Variables, files: &[String], asked_at: &At) -> Result<Variables, Problem> {
        let mut set = Variables::new();
        for file in files {
            let text = self.text(file, asked_at, "")?;
            dotenv::parse(file, &text, &mut set, &|name| given.get(name).cloned())?;
        }
        set.extend(given.clone());
        let size = set.iter().map(|(name, value)| name.len().saturating_add(value.len())).sum();
        self.budget.spend(size).map_err(|_| too_large(asked_at))?;
        Ok(set)
    }

    /// Gives values to what takes them from variables: the variables that an included file sees are its own.
    fn take_values(&mut self, tree: &mut Map, variables: &Variables) {
        for (_, service) in section(tree, "services") {
            let Some(service) = service.map_mut() else { continue };
            take_from(service.get_mut("environment"), variables);
            take_from(
                service.get_mut("build").and_then(Node::map_mut).and_then(|build| build.get_mut("args")),
                variables,
            );
        }
        for kind in ["configs", "secrets"] {
            for (name, object) in section(tree, kind) {
                let variable = object.map().and_then(|object| object.get("environment")).and_then(Node::text);
                if let Some(variable) = variable
                    && let Some(value) = variables.get(variable)
                {
                    let key = (kind.to_owned(), name.clone(), variable.to_owned());
                    self.values.entry(key).or_insert_with(|| value.clone());
                }
            }
        }
    }

    /// A copy of a value.
    fn copy(&mut self, node: &Node) -> Result<Node, Problem> {
        self.budget.spend_copy(node).map_err(|_| too_large(&node.at))?;
        Ok(node.clone())
    }
}

/// Gives values to the names that have none.
fn take_from(pairs: Option<&mut Node>, variables: &Variables) {
    for (name, node) in pairs.and_then(Node::map_mut).into_iter().flatten() {
        if node.value == Value::Null
            && let Some(value) = variables.get(name)
        {
            node.value = Value::Text(value.clone());
            node.from_variables = true;
        }
    }
}

/// What is built without a context is built from the project's folder.
fn fill_in_build_contexts(tree: &mut Map, folder: &str) {
    for (_, service) in section(tree, "services") {
        let Some(build) = service.map_mut().and_then(|service| service.get_mut("build")) else { continue };
        let context = Node::in_place_of(build, Value::Path(folder.to_owned()));
        if let Some(build) = build.map_mut() {
            build.entry("context".to_owned()).or_insert(context);
        }
    }
}

fn section<'t>(tree: &'t mut Map, key: &str) -> impl Iterator<Item = (&'t String, &'t mut Node)> {
    tree.get_mut(key).and_then(Node::map_mut).into_iter().flatten()
}

/// The texts of a value that is a text or a list of them, each with its position.
fn texts<'n>(node: &'n Node, path: &str) -> Result<Vec<(&'n Node, &'n str)>, Problem> {
    let nodes = match &node.value {
        Value::List(items) => items.iter().collect(),
        _ => vec![node],
    };
    let text = |node: &'n Node| match node.text() {
        Some(text) => Ok((node, text)),
        None => Err(Problem::new(&node.at, path, format!("this must be text, not {}", node.shown()), "write a path")),
    };
    nodes.into_iter().map(text).collect()
}
