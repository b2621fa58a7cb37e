//! `extends`: a service that is laid over another one, of the same file or of another.

use std::collections::HashMap;

use super::{Document, Loader};
use crate::docker::compose::budget::MAX_CHAIN;
use crate::docker::compose::interpolate::{Variables, join};
use crate::docker::compose::merge::{merge, merge_maps};
use crate::docker::compose::problem::Problem;
use crate::docker::compose::reset::Resets;
use crate::docker::compose::sources::folder_of;
use crate::docker::compose::tree::{Map, Node, Value};
use crate::docker::compose::unique;

/// The services of a file, some of which are extended already.
struct Services {
    file: String,
    services: Map,
    resets: Resets,
}

/// The files at hand: the first is the one whose services are extended, the others are only extended from.
struct Files<'v> {
    files: Vec<Services>,
    by_path: HashMap<String, usize>,
    variables: &'v Variables,
}

impl Loader<'_> {
    pub(super) fn extend(&mut self, document: &mut Document, file: &str, variables: &Variables) -> Result<(), Problem> {
        let Some(services) = document.tree.get_mut("services").and_then(Node::map_mut) else { return Ok(()) };
        let extending = |service: &Node| service.map().is_some_and(|service| service.contains_key("extends"));
        let names: Vec<String> =
            services.iter().filter(|(_, node)| extending(node)).map(|(name, _)| name.clone()).collect();
        if names.is_empty() {
            return Ok(());
        }
        let own =
            Services { file: file.to_owned(), services: std::mem::take(services), resets: document.resets.clone() };
        let mut files = Files { files: vec![own], by_path: HashMap::new(), variables };
        for name in names {
            self.extended(&mut files, 0, &name, &mut Vec::new())?;
        }
        if let Some(own) = files.files.into_iter().next() {
            *services = own.services;
        }
        Ok(())
    }

    /// A service with what it extends; it is kept that way in its file.
    fn extended(
        &mut self,
        files: &mut Files<'_>,
        index: usize,
        name: &str,
        chain: &mut Vec<(usize, String)>,
    ) -> Result<Node, Problem> {
        let Some(file) = files.files.get(index) else { return Ok(Node::default()) };
        let Some(service) = file.services.get(name) else { return Ok(Node::default()) };
        let (mut service, resets, file) = (self.copy(service)?, file.resets.clone(), file.file.clone());
        let Some(extends) = service.map_mut().and_then(|service| service.remove("extends")) else {
            return Ok(service);
        };
        let path = join(&join("services", name), "extends");
        let problem = |message: String, remedy: &str| Problem::new(&extends.at, path.as_str(), message, remedy);
        let here = (index, name.to_owned());
        if chain.contains(&here) {
            let mut names: Vec<&str> = chain.iter().map(|(_, name)| name.as_str()).collect();
            names.push(name);
            return Err(problem(
                format!("services extend one another: `{}`", names.join("` → `")),
                "remove one of these",
            ));
        }
        if chain.len() > MAX_CHAIN {
            return Err(problem(
                format!("more than {MAX_CHAIN} services extend one another"),
                "make the chain shorter",
            ));
        }
        chain.push(here);
        let map = extends.map();
        if let Some(key) =
            map.into_iter().flatten().map(|(key, _)| key).find(|key| !matches!(key.as_str(), "service" | "file"))
        {
            return Err(problem(
                format!("the attribute `{key}` is unknown"),
                "give `service`, and `file` if it is another",
            ));
        }
        let Some(base_name) = map.and_then(|map| map.get("service")).and_then(Node::text) else {
            return Err(problem("`service` is missing".to_owned(), "name the service to extend"));
        };
        let base_file = match map.and_then(|map| map.get("file")).map(|node| &node.value) {
            None | Some(Value::Null) => None,
            Some(Value::Path(path)) => Some(path.clone()),
            Some(_) => return Err(problem("`file` must be a path".to_owned(), "name a file of the project")),
        };
        let base_index = match &base_file {
            None => index,
            Some(base_file) => self.base(files, base_file, &extends, &path)?,
        };
        let known = files.files.get(base_index).is_some_and(|file| file.services.contains_key(base_name));
        if !known {
            let file = base_file.as_ref().unwrap_or(&file);
            let message = format!("there is no service `{base_name}` in `{file}`");
            return Err(problem(message, "correct the name, or the file"));
        }
        let mut base = self.extended(files, base_index, base_name, chain)?;
        chain.pop();
        resets.apply(&mut base, &["services", name]);
        let mut merged = merge(base, service, &["services", name])?;
        if let Some(service) = merged.map_mut() {
            service.remove("extends");
        }
        let kept = self.copy(&merged)?;
        if let Some(file) = files.files.get_mut(index) {
            file.services.insert(name.to_owned(), kept);
        }
        Ok(merged)
    }

    /// A file that is extended from, without what it includes.
    fn base(&mut self, files: &mut Files<'_>, path: &str, extends: &Node, asked_by: &str) -> Result<usize, Problem> {
        if let Some(index) = files.by_path.get(path) {
            return Ok(*index);
        }
        // Told at the place that asks for it.
        self.text(path, &extends.at, asked_by)?;
        let mut whole = Node::in_place_of(extends, Value::Map(Map::new()));
        let mut resets = Resets::default();
        for document in self.documents(path, folder_of(path), files.variables, &extends.at)? {
            document.resets.apply(&mut whole, &[]);
            if let Value::Map(earlier) = std::mem::take(&mut whole.value) {
                whole.value = Value::Map(merge_maps(earlier, document.tree, &[])?);
            }
            resets = document.resets;
        }
        unique::enforce(&mut whole, &[]);
        let services = whole.map_mut().and_then(|tree| tree.remove("services"));
        let services = match services.map(|node| node.value) {
            Some(Value::Map(services)) => services,
            _ => Map::new(),
        };
        let index = files.files.len();
        files.files.push(Services { file: path.to_owned(), services, resets });
        files.by_path.insert(path.to_owned(), index);
        Ok(index)
    }
}
