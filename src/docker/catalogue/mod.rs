//! From types (`PHP`, `Node.js`, `MySQL`, …) to a compose file.
//!
//! Pure. What a type is made of is in `entries/`, a file for each, which are parts of a compose file; which types go together is
//! decided in [`select`], and the parts are put together in [`assemble`]. What is written is an ordinary compose file: everything
//! else that is known of compose files is elsewhere.

mod assemble;
mod entry;
mod files;
mod select;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use assemble::Assembly;
use entry::{Entry, Kind};

/// The volume that holds the content where none is delivered.
pub const CONTENT: &str = "content";

/// What is wanted.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Names of types as users write them: case, `.`, `-`, `_` and spaces do not matter.
    pub types: &'a [String],
    /// Whether content is delivered from a source. Then the compose file mounts `./`, the root of the source; otherwise a volume
    /// [`CONTENT`], which people fill.
    pub with_source: bool,
    /// Whether the content is shown by Filebrowser, for reading and writing.
    pub filebrowser: bool,
    /// The host's own image in place of one of the catalogue's, by the catalogue's key for it: `nginx`, `mysql`, ….
    pub image: &'a dyn Fn(&str) -> Option<String>,
    /// Where people reach it, as far as that is known before it runs: some applications make their links of it.
    pub url: Option<&'a str>,
}

/// A compose file and what has to be known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Composed {
    /// The file. Equal requests give equal files, in whatever order the types are. Secrets are in it as `${VARIABLE}` only.
    pub compose: String,
    /// The variables that the file needs besides.
    pub credentials: Vec<Credential>,
    /// The type that answers people: the first web type, or without one the first of all.
    pub primary: String,
    /// The types that run, as the catalogue writes them and in its order, with those that others brought.
    pub types: Vec<String>,
    /// Where the primary type answers; none if it is a database.
    pub main: Option<Endpoint>,
    /// Where Filebrowser answers, if it was wanted.
    pub filebrowser: Option<Endpoint>,
}

/// A service of the compose file that answers by HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The service's key.
    pub service: String,
    /// The port inside of its containers.
    pub port: u16,
}

/// A secret that is generated once for a service and stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The variable that the compose file takes it from.
    pub variable: String,
    /// What it looks like.
    pub form: CredentialForm,
    /// Whether users may give their own.
    pub own: Option<OwnCredential>,
}

/// What a generated secret looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialForm {
    /// So many ASCII letters and digits, which need no escaping anywhere: they are put into URLs.
    Letters {
        /// How many.
        length: usize,
    },
    /// `base64:` and so many random bytes in standard base64 with padding: the key of a Laravel application.
    Base64Key {
        /// How many.
        bytes: usize,
    },
}

/// A secret that users may give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCredential {
    /// The key under which it is given.
    pub key: String,
    /// The fewest characters that are accepted.
    pub least: usize,
}

/// Why types cannot be composed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Nothing was asked for.
    #[error("no type is given: name at least one of {known}")]
    Nothing {
        /// All types.
        known: String,
    },
    /// There is no such type.
    #[error("there is no type `{name}`{nearest}: known are {known}")]
    Unknown {
        /// What was asked for, shortened.
        name: String,
        /// `, did you mean …?`, or nothing.
        nearest: String,
        /// All types.
        known: String,
    },
    /// The same type again.
    #[error("the type {0} is named twice: one service has one of each")]
    Twice(String),
    /// Two types that answer people.
    #[error(
        "{first} and {second} would both answer for the service: keep one, and make the other a service of its own"
    )]
    TwoWebTypes {
        /// The first of them.
        first: String,
        /// The second.
        second: String,
    },
    /// Two types that are of no use to each other.
    #[error("{web} cannot use {database}: {reason}")]
    Unusable {
        /// The type that answers people.
        web: String,
        /// The database.
        database: String,
        /// Why.
        reason: String,
    },
    /// The type is of no use without a source.
    #[error("{name} needs a source, since {reason}: give a git repository or an archive")]
    NeedsSource {
        /// The type.
        name: String,
        /// Why.
        reason: String,
    },
    /// There is content, and nothing that would serve it.
    #[error("{types} cannot use a source: leave it out, or add a type that serves it, such as {web}")]
    UselessSource {
        /// What was asked for.
        types: String,
        /// Types that could.
        web: String,
    },
    /// There is nothing for Filebrowser to show.
    #[error(
        "Filebrowser has no files to show beside {types} alone: leave it out, or add a type with content, such as {web}"
    )]
    UselessFilebrowser {
        /// What was asked for.
        types: String,
        /// Types that could.
        web: String,
    },
    /// The catalogue itself is wrong. The tests hold that it is not.
    #[error("the catalogue cannot be used: {0}")]
    Broken(String),
}

/// Makes a compose file of types.
///
/// # Errors
/// Why these types cannot be composed, for whoever chose them.
pub fn compose(request: &Request<'_>) -> Result<Composed, Error> {
    let entries = entry::all()?;
    let selection = select::select(entries, request)?;
    let mut assembly = Assembly::new(request);
    let mut credentials = Vec::new();
    for entry in selection.entries.iter().copied().chain(selection.filebrowser) {
        assembly.add(entry, &selection)?;
        credentials.extend(entry.credentials.iter().map(entry::Secret::credential));
    }
    let endpoint = |entry: &Entry| Endpoint { service: entry.service.clone(), port: entry.port };
    let compose = assembly.finish()?;
    let types: Vec<String> = selection.entries.iter().map(|entry| entry.name.clone()).collect();
    Ok(Composed {
        compose,
        credentials,
        primary: types.first().cloned().unwrap_or_default(),
        types,
        main: selection.web.map(endpoint),
        filebrowser: selection.filebrowser.map(endpoint),
    })
}

/// What the catalogue has, for people.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// The name of the type, or of what stands beside types.
    pub name: &'a str,
    /// What it does.
    pub about: &'a str,
    /// What the services of others call it.
    pub service: &'a str,
    /// The port on which it listens inside of its network.
    pub port: u16,
    /// Whether it is a type that answers people.
    pub web: bool,
    /// Where its container has the content, if it has any.
    pub content: Option<&'a str>,
    /// The keys of its images, by which a host replaces them, and what the catalogue has for each.
    pub images: &'a BTreeMap<String, String>,
}

/// The catalogue's image of a key.
pub fn image(key: &str) -> Option<&'static str> {
    entry::all().ok()?.iter().find_map(|entry| entry.images.get(key)).map(String::as_str)
}

/// Everything in the catalogue, in its order; Filebrowser comes last.
///
/// # Errors
/// [`Error::Broken`].
pub fn list() -> Result<Vec<Listed<'static>>, Error> {
    let listed = entry::all()?.iter().map(|entry| Listed {
        name: &entry.name,
        about: &entry.about,
        service: &entry.service,
        port: entry.port,
        web: entry.kind == Kind::Web,
        content: entry.content.as_deref(),
        images: &entry.images,
    });
    Ok(listed.collect())
}
