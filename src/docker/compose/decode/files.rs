//! What comes from other files and from variables: environments, labels, configs and secrets.

use std::collections::{BTreeMap, BTreeSet};

use super::reader::{Fields, Item};
use super::{Decoder, named, positions, too_large};
use crate::docker::compose::budget::{MAX_FILE, MAX_FILE_OBJECT};
use crate::docker::compose::dotenv;
use crate::docker::compose::model::{FileObject, FileSource};
use crate::docker::compose::sources::Found;

impl Decoder<'_> {
    /// `environment`, over what the files of `env_file` say.
    pub(super) fn environment(&self, fields: &mut Fields<'_>) -> BTreeMap<String, Option<String>> {
        let own = fields.optional_pairs("environment");
        let mut set: BTreeMap<String, String> =
            own.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect();
        for item in fields.list("env_file") {
            let mut file = item.fields();
            let path = file.required("path").and_then(|item| item.text());
            let required = file.item("required").and_then(|item| item.boolean()).unwrap_or(true);
            let format = file.text("format");
            file.finish();
            let Some(text) = path.and_then(|path| self.text(&item, &path, required)) else { continue };
            let lookup = |name: &str| {
                let own = || own.get(name).cloned().flatten();
                self.variables.get(name).cloned().or_else(own)
            };
            let name = &text.0;
            let read = match format.as_deref() {
                None | Some("" | ".env") => dotenv::parse(name, &text.1, &mut set, &lookup),
                Some("raw") => dotenv::parse_raw(name, &text.1, &mut set, &lookup),
                Some(_) => {
                    item.complain("the format of the file is unknown", "use `raw`, or none");
                    continue;
                }
            };
            if let Err(problem) = read {
                self.complaints.add(problem);
            }
        }
        let mut environment: BTreeMap<String, Option<String>> =
            set.into_iter().map(|(name, value)| (name, Some(value))).collect();
        environment.extend(own);
        let size =
            environment.iter().map(|(name, value)| name.len().saturating_add(value.as_ref().map_or(0, String::len)));
        self.spend(size.sum(), &fields.item);
        environment
    }

    /// `labels`, over what the files of `label_file` say.
    pub(super) fn labels(&self, fields: &mut Fields<'_>) -> BTreeMap<String, String> {
        let mut labels: BTreeMap<String, String> = BTreeMap::new();
        for item in fields.list("label_file") {
            let Some((name, text)) = item.text().and_then(|path| self.text(&item, &path, true)) else { continue };
            let mut set = BTreeMap::new();
            if let Err(problem) = dotenv::parse(&name, &text, &mut set, &|name| labels.get(name).cloned()) {
                self.complaints.add(problem);
            }
            labels.extend(set);
        }
        labels.extend(fields.pairs("labels"));
        labels
    }

    /// A file's path and text. Tells if it is not there, unless it need not be.
    fn text(&self, item: &Item<'_>, path: &str, required: bool) -> Option<(String, String)> {
        let content = match self.sources.find(path) {
            Found::File(content) => content,
            Found::Nothing if !required => return None,
            Found::Nothing => {
                item.complain(
                    format!("there is no file `{path}`"),
                    "add it to the project, or write `required: false`",
                );
                return None;
            }
            Found::Folder => {
                item.complain(format!("`{path}` is a folder"), "name a file");
                return None;
            }
            Found::Unreadable(why) => {
                item.complain(why, "name a file that can be read");
                return None;
            }
        };
        if content.len() > MAX_FILE {
            item.complain(format!("`{path}` has more than {} KiB", MAX_FILE / 1024), "make it smaller");
            return None;
        }
        self.spend(content.len(), item).then_some(())?;
        match String::from_utf8(content.into()) {
            Ok(text) => Some((path.to_owned(), text)),
            Err(_) => {
                item.complain(format!("`{path}` is not in UTF-8"), "save it in UTF-8");
                None
            }
        }
    }

    /// The configs or secrets that are used, with their content. The others are only looked at.
    pub(super) fn file_objects(
        &self,
        fields: &mut Fields<'_>,
        section: &'static str,
        used: &BTreeSet<String>,
    ) -> BTreeMap<String, FileObject> {
        let objects = named(fields, section).filter_map(|(name, item)| {
            let object = self.file_object(section, &name, &item, used.contains(&name))?;
            Some((name, object))
        });
        objects.collect()
    }

    fn file_object(&self, section: &str, name: &str, item: &Item<'_>, used: bool) -> Option<FileObject> {
        let mut fields = item.fields();
        let (own_name, labels) = (fields.text("name").unwrap_or_default(), fields.pairs("labels"));
        let (file, variable) = (fields.item("file"), fields.item("environment"));
        // Only configs have it: for secrets it is left, and refused.
        let content = if section == "configs" { fields.item("content") } else { None };
        fields.finish();
        let source = match (&file, &variable, &content) {
            (Some(file), None, None) => FileSource::File(file.text()?),
            (None, Some(variable), None) => FileSource::Environment(variable.text()?),
            (None, None, Some(_)) => FileSource::Inline,
            // It is refused as such.
            (None, None, None) if item.node.map().is_some_and(|map| map.contains_key("external")) => return None,
            _ => {
                let known =
                    if section == "configs" { "`file`, `environment` or `content`" } else { "`file` or `environment`" };
                item.complain(format!("exactly one of {known} must be given"), "give one of them");
                return None;
            }
        };
        if !used {
            return None;
        }
        let content = match &source {
            FileSource::File(path) => self.content(&file?, path)?,
            FileSource::Environment(variable) => self.value(section, name, variable, item)?,
            FileSource::Inline => content?.printed()?.into_bytes(),
        };
        if content.len() > MAX_FILE_OBJECT {
            item.complain(format!("this has more than {} KiB", MAX_FILE_OBJECT / 1024), "mount it as a volume");
        }
        self.spend(content.len(), item);
        Some(FileObject { at: positions(item), name: own_name, source, content, labels })
    }

    fn value(&self, section: &str, name: &str, variable: &str, item: &Item<'_>) -> Option<Vec<u8>> {
        let seen = self.values.get(&(section.to_owned(), name.to_owned(), variable.to_owned()));
        match seen.or_else(|| self.variables.get(variable)) {
            Some(value) => Some(value.clone().into_bytes()),
            None => {
                item.complain(format!("the variable `{variable}` is not set"), "set it in `env`");
                None
            }
        }
    }

    fn content(&self, item: &Item<'_>, path: &str) -> Option<Vec<u8>> {
        match self.sources.find(path) {
            Found::File(content) => Some(content.to_vec()),
            Found::Folder => {
                item.complain(format!("`{path}` is a folder"), "name a file, or mount the folder as a volume");
                None
            }
            Found::Unreadable(why) => {
                item.complain(why, "name a file that can be read");
                None
            }
            Found::Nothing => {
                item.complain(format!("there is no file `{path}`"), "add it to the project, or correct the path");
                None
            }
        }
    }

    /// False if the budget is used up, which is told.
    fn spend(&self, bytes: usize, item: &Item<'_>) -> bool {
        let spent = self.budget.borrow_mut().spend(bytes).is_ok();
        if !spent {
            self.complaints.add(too_large(&item.node.at));
        }
        spent
    }
}
