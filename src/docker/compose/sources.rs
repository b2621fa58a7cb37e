//! The files that a project is read from, with paths that cannot leave their tree: some in memory, and behind them those of a
//! repository or an archive.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::docker::content::{Content, Entry};

/// The largest file of a repository or an archive that is read, in bytes.
const LARGEST: u64 = 8 << 20;

/// Names that are looked for, in this order, when no file is named.
pub const DEFAULT_FILES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
/// Names that are looked for beside the first, and laid over it.
pub const DEFAULT_OVERRIDES: [&str; 4] =
    ["compose.override.yml", "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml"];

/// Files by their path from the root, as in `deploy/compose.yaml`.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: BTreeMap<String, Bytes>,
    content: Option<Content>,
}

/// What is at a path of the sources.
pub enum Found {
    /// A file with this content.
    File(Bytes),
    /// A folder that holds files.
    Folder,
    /// Something that cannot be read, and why.
    Unreadable(String),
    /// Nothing.
    Nothing,
}

impl Sources {
    /// A tree with a single file in its root.
    pub fn inline(name: &str, text: &str) -> Self {
        [(name.to_owned(), Bytes::copy_from_slice(text.as_bytes()))].into_iter().collect()
    }

    /// Adds a file. The path has no `.`, `..` or empty parts.
    pub fn insert(&mut self, path: String, content: Bytes) {
        self.files.insert(path, content);
    }

    /// Files of a repository or an archive, behind those in memory.
    pub fn with_content(self, content: Option<Content>) -> Self {
        Self { content, ..self }
    }

    /// Looks at a path as [`inside`] gives it.
    pub fn find(&self, path: &str) -> Found {
        if let Some(content) = self.files.get(path) {
            return Found::File(content.clone());
        }
        let folder = format!("{path}/");
        let within =
            path == "." || self.files.range(folder.clone()..).next().is_some_and(|(name, _)| name.starts_with(&folder));
        match &self.content {
            _ if within => Found::Folder,
            Some(content) => delivered(content, path),
            None => Found::Nothing,
        }
    }

    /// The compose files of a folder, where nobody says which: the first default name, and its override.
    pub fn default_files(&self, folder: &str) -> Vec<String> {
        let first = |names: &[&str]| {
            let paths = names.iter().filter_map(|name| inside(folder, name));
            paths.into_iter().find(|path| matches!(self.find(path), Found::File(_)))
        };
        first(&DEFAULT_FILES).into_iter().flat_map(|file| [Some(file), first(&DEFAULT_OVERRIDES)]).flatten().collect()
    }
}

impl FromIterator<(String, Bytes)> for Sources {
    fn from_iter<I: IntoIterator<Item = (String, Bytes)>>(files: I) -> Self {
        Self { files: files.into_iter().collect(), content: None }
    }
}

fn delivered(content: &Content, path: &str) -> Found {
    match content.get(path) {
        Some(Entry::Folder) => Found::Folder,
        Some(Entry::File { .. }) => match content.read(path, LARGEST) {
            Ok(file) => Found::File(file),
            Err(error) => Found::Unreadable(error.to_string()),
        },
        Some(Entry::Link { target }) => {
            Found::Unreadable(format!("`{path}` is a link; name what it leads to: `{target}`"))
        }
        None => Found::Nothing,
    }
}

/// The folder that holds a path; `.` is the root.
pub fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or(".", |(folder, _)| folder)
}

/// A relative path as seen from a folder, from the root of the sources and without superfluous parts. `None` if it leaves
/// the tree.
pub fn inside(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    if path.starts_with('/') {
        return None;
    }
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(if parts.is_empty() { ".".to_owned() } else { parts.join("/") })
}

/// An absolute path without superfluous parts.
pub fn clean_absolute(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside_of_the_tree() {
        for (folder, path, expected) in [
            (".", "./a//b/../c", Some("a/c")),
            ("deploy", "../site", Some("site")),
            ("deploy", "..", Some(".")),
            ("deploy", "../../etc", None),
            (".", "..", None),
            (".", "/etc/passwd", None),
            (".", "a/../../b", None),
            ("a/b", "", Some("a/b")),
        ] {
            assert_eq!(inside(folder, path).as_deref(), expected, "{path} from {folder}");
        }
    }

    #[test]
    fn an_absolute_path_loses_what_it_does_not_need() {
        assert_eq!(clean_absolute("/a/./b//../c/"), "/a/c");
        assert_eq!(clean_absolute("/../.."), "/");
    }

    #[test]
    fn a_folder_is_found_by_what_it_holds() {
        let sources: Sources = [("a/b.txt".to_owned(), Bytes::new())].into_iter().collect();
        assert!(matches!(sources.find("a"), Found::Folder));
        assert!(matches!(sources.find("."), Found::Folder));
        assert!(matches!(sources.find("a/b.txt"), Found::File(_)));
        assert!(matches!(sources.find("a/b"), Found::Nothing));
    }

    #[test]
    fn the_first_default_file_counts_and_its_override_is_laid_over_it() {
        let names = ["deploy/docker-compose.yml", "deploy/compose.yml", "deploy/compose.override.yaml", "compose.yaml"];
        let sources: Sources = names.iter().map(|name| ((*name).to_owned(), Bytes::new())).collect();
        assert_eq!(sources.default_files("deploy"), ["deploy/compose.yml", "deploy/compose.override.yaml"]);
        assert_eq!(sources.default_files("."), ["compose.yaml"]);
        assert!(sources.default_files("elsewhere").is_empty());
    }
}
