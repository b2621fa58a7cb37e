//! A case of the corpus: a folder with compose files, and perhaps variables, profiles and files to name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use cloudfaster::docker::compose::{Loaded, Problems, Request, Sources, load};
use serde::Deserialize;

/// The name of the project in all cases.
pub const PROJECT: &str = "project";

/// What `case.json` says.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    pub variables: BTreeMap<String, String>,
    pub profiles: Vec<String>,
    pub files: Vec<String>,
}

pub struct Case {
    pub name: String,
    pub folder: PathBuf,
    pub options: Options,
}

/// All cases, in order.
pub fn cases() -> Vec<Case> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compose/corpus");
    let folders = std::fs::read_dir(corpus).expect("the corpus is there");
    let mut cases: Vec<Case> = folders.map(|folder| Case::open(folder.expect("readable").path())).collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

impl Case {
    fn open(folder: PathBuf) -> Self {
        let options = match std::fs::read(folder.join("case.json")) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", folder.display())),
            Err(_) => Options::default(),
        };
        Self { name: folder.file_name().unwrap().to_string_lossy().into_owned(), folder, options }
    }

    /// All files of the case.
    pub fn sources(&self) -> Sources {
        let mut files = Vec::new();
        collect(&self.folder, "", &mut files);
        files.into_iter().collect()
    }

    /// What we make of it.
    pub fn load(&self) -> Result<Loaded, Problems> {
        let sources = self.sources();
        let files = match self.options.files.as_slice() {
            [] => sources.default_files("."),
            files => files.to_vec(),
        };
        let Options { variables, profiles, .. } = &self.options;
        load(Request { sources: &sources, files: &files, variables, profiles, name: PROJECT })
    }
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<(String, Bytes)>) {
    for entry in std::fs::read_dir(folder).expect("readable") {
        let entry = entry.expect("readable");
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match entry.file_type().expect("readable").is_dir() {
            true => collect(&entry.path(), &format!("{name}/"), files),
            false => files.push((name, std::fs::read(entry.path()).expect("readable").into())),
        }
    }
}
