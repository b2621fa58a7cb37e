//! What the catalogue knows of a type: a file of `entries/`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Credential, CredentialForm, Error, OwnCredential};

/// The files, in the order in which types count: the first web type of this list is the primary one.
const FILES: [&str; 13] = [
    include_str!("entries/static.yaml"),
    include_str!("entries/php.yaml"),
    include_str!("entries/laravel.yaml"),
    include_str!("entries/nodejs.yaml"),
    include_str!("entries/react.yaml"),
    include_str!("entries/python.yaml"),
    include_str!("entries/wordpress.yaml"),
    include_str!("entries/mysql.yaml"),
    include_str!("entries/mariadb.yaml"),
    include_str!("entries/postgresql.yaml"),
    include_str!("entries/redis.yaml"),
    include_str!("entries/mongodb.yaml"),
    include_str!("entries/filebrowser.yaml"),
];

/// How many letters a generated password has: 190 bits.
const LETTERS: usize = 32;
/// The size of an AES-256 key.
const KEY_BYTES: usize = 32;

/// A type, or what stands beside types.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// The name as it is shown.
    pub name: String,
    /// Other names that users write.
    #[serde(default)]
    pub aliases: Vec<String>,
    pub kind: Kind,
    /// What it is, for the documentation.
    pub about: String,
    /// The key of the service that others speak to.
    pub service: String,
    /// The port on which it listens.
    pub port: u16,
    /// Where it has the content.
    #[serde(default)]
    pub content: Option<String>,
    /// Whether it runs a program that databases are of use to.
    #[serde(default)]
    pub connected: bool,
    /// Other web types that are a part of it.
    #[serde(default)]
    pub includes: Vec<String>,
    /// Databases of which it needs one.
    #[serde(default)]
    pub needs: Vec<String>,
    /// The database that it comes with where none of those is given.
    #[serde(default)]
    pub brings: Option<String>,
    /// Databases that it cannot use, and why.
    #[serde(default)]
    pub refuses: BTreeMap<String, String>,
    /// Why it is of no use without a source.
    #[serde(default)]
    pub requires_source: Option<String>,
    /// The variable that it takes its own URL from.
    #[serde(default)]
    pub url: Option<String>,
    /// Images by their keys, which `image` in the services names.
    pub images: BTreeMap<String, String>,
    #[serde(default)]
    pub credentials: Vec<Secret>,
    /// Its part of the compose file.
    pub compose: Part,
    /// What is added where content is delivered.
    #[serde(default)]
    pub with_source: Part,
    /// What is added where none is.
    #[serde(default)]
    pub without_source: Part,
    /// What is added for each database beside it. Of two that say different things the first one of the catalogue counts.
    #[serde(default)]
    pub beside: BTreeMap<String, Part>,
    /// Variables for the web type, by which it finds this database.
    #[serde(default)]
    pub gives: Map<String, Value>,
    /// The same under common names, of the first database that has them.
    #[serde(default)]
    pub gives_first: Map<String, Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// It answers people.
    Web,
    /// It serves the web type.
    Database,
    /// It is no type: it is asked for apart.
    Companion,
}

/// A secret that the entry's services take from a variable.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Secret {
    variable: String,
    #[serde(default)]
    form: Form,
    /// The key under which users give their own.
    own: Option<String>,
    /// The fewest characters of their own.
    #[serde(default)]
    least: usize,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Form {
    #[default]
    Letters,
    Base64Key,
}

impl Secret {
    pub fn credential(&self) -> Credential {
        let Self { variable, form, own, least } = self;
        Credential {
            variable: variable.clone(),
            form: match form {
                Form::Letters => CredentialForm::Letters { length: LETTERS },
                Form::Base64Key => CredentialForm::Base64Key { bytes: KEY_BYTES },
            },
            own: own.as_ref().map(|key| OwnCredential { key: key.clone(), least: *least }),
        }
    }
}

/// A part of a compose file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Part {
    pub services: Map<String, Value>,
    pub volumes: Map<String, Value>,
    /// Each names a file of `entries/files`.
    pub configs: BTreeMap<String, ConfigFile>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ConfigFile {
    pub file: String,
}

/// All entries in the order of the catalogue.
pub(super) fn all() -> Result<&'static [Entry], Error> {
    static ALL: LazyLock<Result<Vec<Entry>, String>> = LazyLock::new(|| {
        FILES.iter().map(|text| serde_saphyr::from_str(text).map_err(|error| error.to_string())).collect()
    });
    ALL.as_deref().map_err(|error| Error::Broken(error.clone()))
}
