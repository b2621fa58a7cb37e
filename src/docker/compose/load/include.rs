//! `include`: the services, networks, volumes, configs and secrets of other files, each seen from its own folder.

use super::{Document, Loader, texts};
use crate::docker::compose::budget::MAX_CHAIN;
use crate::docker::compose::interpolate::{Variables, join};
use crate::docker::compose::merge::merge;
use crate::docker::compose::problem::Problem;
use crate::docker::compose::sources::{Found, folder_of, inside};
use crate::docker::compose::tree::{Map, Node, Value};

impl Loader<'_> {
    pub(super) fn include(
        &mut self,
        document: &mut Document,
        folder: &str,
        variables: &Variables,
        including: &[String],
    ) -> Result<(), Problem> {
        let Some(include) = document.tree.remove("include") else { return Ok(()) };
        let entries = match &include.value {
            Value::List(entries) => entries,
            Value::Null => return Ok(()),
            _ => {
                let message = format!("`include` must be a list, not {}", include.shown());
                return Err(Problem::new(&include.at, "include", message, "write `- ` before the path"));
            }
        };
        for (index, entry) in entries.iter().enumerate() {
            let path = join("include", &index.to_string());
            let included = self.included(entry, &path, folder, variables, including)?;
            for section in ["services", "volumes", "networks", "secrets", "configs"] {
                let Some(Value::Map(from)) = included.get(section).map(|node| node.value.clone()) else { continue };
                let to = document.tree.entry(section.to_owned()).or_insert_with(|| empty(entry));
                if to.value == Value::Null {
                    to.value = Value::Map(Map::new());
                }
                let Some(to) = to.map_mut() else { continue };
                for (name, mut theirs) in from {
                    let merged = match to.remove(&name) {
                        None => theirs,
                        Some(ours) if ours == theirs => ours,
                        Some(ours) => {
                            document.resets.apply(&mut theirs, &[section, &name]);
                            merge(theirs, ours, &[section, &name])?
                        }
                    };
                    to.insert(name, merged);
                }
            }
            // What else it says is laid beside, so that what is unknown is told.
            for (key, node) in included {
                if !matches!(
                    key.as_str(),
                    "services" | "volumes" | "networks" | "secrets" | "configs" | "name" | "version"
                ) {
                    document.tree.entry(key).or_insert(node);
                }
            }
        }
        Ok(())
    }

    fn included(
        &mut self,
        entry: &Node,
        path: &str,
        folder: &str,
        variables: &Variables,
        including: &[String],
    ) -> Result<Map, Problem> {
        let problem = |message: String, remedy: &str| Problem::new(&entry.at, path, message, remedy);
        let nothing = Map::new();
        let (paths, more) = match &entry.value {
            Value::Text(_) => (entry, &nothing),
            Value::Map(map) => match map.get("path") {
                Some(paths) => (paths, map),
                None => return Err(problem("`path` is missing".to_owned(), "name the file to include")),
            },
            _ => {
                return Err(problem(format!("this must be a path, not {}", entry.shown()), "name the file to include"));
            }
        };
        if let Some(key) = more.keys().find(|key| !matches!(key.as_str(), "path" | "project_directory" | "env_file")) {
            return Err(problem(format!("the attribute `{key}` is unknown"), "remove it"));
        }
        let mut files = Vec::new();
        for (node, text) in texts(paths, path)? {
            if text.contains("://") || text.starts_with("git@") {
                let message = format!("{} is not a file of the project", node.shown());
                return Err(problem(message, "include files of the project only"));
            }
            files.push(self.within(node, folder, text, path)?);
        }
        let Some(first) = files.first() else {
            return Err(problem("`path` is empty".to_owned(), "name the file to include"));
        };
        if including.contains(first) {
            let chain = including.join("`, `");
            return Err(problem(
                format!("`{first}` includes itself, through `{chain}`"),
                "remove one of these includes",
            ));
        }
        if including.len() > MAX_CHAIN {
            return Err(problem(format!("includes are nested more than {MAX_CHAIN} deep"), "make them flatter"));
        }
        let project = match more.get("project_directory") {
            None => folder_of(first).to_owned(),
            Some(node) => match texts(node, path)?.as_slice() {
                [(node, text)] => self.within(node, folder, text, path)?,
                _ => return Err(problem("`project_directory` must be one path".to_owned(), "name one folder")),
            },
        };
        let mut env_files = Vec::new();
        match more.get("env_file") {
            None => {
                let default = inside(&project, ".env").filter(|file| matches!(self.sources.find(file), Found::File(_)));
                env_files.extend(default);
            }
            Some(node) => {
                for (node, text) in texts(node, path)? {
                    if text != "/dev/null" {
                        env_files.push(self.within(node, folder, text, path)?);
                    }
                }
            }
        }
        let own = self.with_files(variables, &env_files, &entry.at)?;
        self.model(&files, &project, &own, &entry.at, including)
    }

    fn within(&self, node: &Node, folder: &str, text: &str, path: &str) -> Result<String, Problem> {
        inside(folder, text).filter(|_| !text.starts_with('~')).ok_or_else(|| {
            let message = format!("{} leads out of the project's files", node.shown());
            Problem::new(&node.at, path, message, "use a path inside of them")
        })
    }
}

fn empty(at: &Node) -> Node {
    Node::in_place_of(at, Value::Map(Map::new()))
}
