//! What is asked of the mirrors, and what they give.

use std::fmt;

use gix_hash::ObjectId;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use crate::docker::{
    content::{self, Content},
    engine::HostPort,
};

use super::{
    super::{Error, Result, Times, http::Basic},
    pack::Bounds,
    reference::Reference,
    ssh::SshAccess,
    url::{GitUrl, SshUrl},
};

/// What proves who we are.
#[derive(Clone, Debug, Default)]
pub enum Credentials {
    /// Nothing; for repositories that are public.
    #[default]
    None,
    /// For `https://`. A token stands in place of the password; what the user is then, the server's host says (often
    /// `git` or `x-access-token`).
    Basic(Basic),
    /// For `ssh://`.
    Ssh(SshAccess),
}

/// A repository, and which of its commits.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where it is.
    pub url: GitUrl,
    /// Which commit.
    pub reference: Reference,
    /// Whether its submodules are fetched too. Their folders are empty otherwise.
    pub submodules: bool,
    /// For this server and no other.
    pub credentials: Credentials,
    /// An authority (PEM) that is believed beside those of the operating system.
    pub ca: Option<String>,
    /// Whether submodules may be fetched over plain HTTP.
    pub allow_insecure: bool,
    /// How much is delivered at most.
    pub content: content::Limits,
}

/// What was fetched before, for a request with the same reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// [`Fetched::name`].
    pub name: String,
    /// [`Fetched::commit`].
    pub commit: String,
}

/// What a reference stands for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The branch or the tag; of a commit, the begin of its name.
    pub name: String,
    /// The commit's full name in hexadecimal.
    pub commit: String,
}

/// What was fetched.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The files.
    pub content: Content,
    /// The branch or the tag; of a commit, the begin of its name.
    pub name: String,
    /// The commit's full name in hexadecimal.
    pub commit: String,
    /// Whether the past was changed since the known commit. `None` too where that cannot be found out.
    pub rewritten: Option<Rewritten>,
    /// What users should know.
    pub notes: Vec<Note>,
}

/// How the past was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewritten {
    /// A tag stands for another commit than before.
    MovedTag,
    /// A branch does not lead to the commit any more that it stood for.
    ForcePush,
}

/// What users should know of what was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Files of Git LFS, which are kept elsewhere: what was fetched are their pointers.
    LargeFiles {
        /// How many.
        count: usize,
        /// One of them.
        example: String,
    },
    /// Submodules that were not asked for.
    Submodules {
        /// How many.
        count: usize,
        /// One of them.
        example: String,
    },
}

/// How much is fetched at most.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How long is waited; the total counts for a request with all its submodules.
    pub times: Times,
    /// Bytes that a server sends of a repository.
    pub pack: u64,
    /// Objects in what it sends.
    pub objects: u64,
    /// Bytes of one object.
    pub object: u64,
    /// Bytes of all objects in what it sends.
    pub unpacked: u64,
    /// Submodules, with those in submodules.
    pub submodules: usize,
    /// How deep submodules lie in each other.
    pub depth: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            times: Times::default(),
            pack: 1 << 30,
            objects: 1_000_000,
            object: 128 << 20,
            unpacked: 8 << 30,
            submodules: 32,
            depth: 4,
        }
    }
}

impl Request {
    /// Tells the mirror that it is fetched into from all others: by the place and by the credentials. No secret can be read from
    /// it.
    pub fn mirror(&self) -> String {
        self.place().key()
    }

    pub(super) fn place(&self) -> Place {
        let Self { url, reference: _, submodules: _, credentials, ca, allow_insecure, content: _ } = self;
        Place { url: url.clone(), credentials: credentials.clone(), ca: ca.clone(), allow_insecure: *allow_insecure }
    }
}

impl Limits {
    pub(super) fn bounds(&self) -> Bounds {
        let Self { objects, object, unpacked, .. } = self;
        Bounds { objects: *objects, object: *object, total: *unpacked }
    }
}

impl Known {
    pub(super) fn id(&self) -> Result<ObjectId> {
        let Self { commit, .. } = self;
        commit.parse().map_err(|_| Error::Invalid(format!("{commit:?} is not the full name of a commit")))
    }
}

/// A repository, with all that decides what it answers.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub url: GitUrl,
    pub credentials: Credentials,
    pub ca: Option<String>,
    pub allow_insecure: bool,
}

impl Place {
    /// # Errors
    /// [`Error::Invalid`] when the credentials are of another kind than the URL.
    pub(super) fn check(&self) -> Result<()> {
        let Self { url, credentials, .. } = self;
        match (url, credentials) {
            (GitUrl::Http(_), Credentials::None | Credentials::Basic(_)) | (GitUrl::Ssh(_), Credentials::Ssh(_)) => {
                Ok(())
            }
            (GitUrl::Http(_), Credentials::Ssh(_)) => {
                Err(Error::Invalid(format!("{url} wants a password or a token, and the credentials are an SSH key")))
            }
            (GitUrl::Ssh(_), Credentials::None | Credentials::Basic(_)) => Err(Error::Invalid(format!(
                "{url} wants an SSH key and the known hosts; credentials are used for their own server only"
            ))),
        }
    }

    /// A submodule: the credentials are for the same server only.
    pub(super) fn submodule(&self, url: &str) -> Result<Self> {
        let Self { url: own, credentials, ca, allow_insecure } = self;
        let url = own.submodule(url, *allow_insecure)?;
        let credentials = if own.same_server(&url) { credentials.clone() } else { Credentials::None };
        Ok(Self { url, credentials, ca: ca.clone(), allow_insecure: *allow_insecure })
    }

    /// The name of its mirror: nobody reads what was fetched with other credentials.
    pub(super) fn key(&self) -> String {
        let Self { url, credentials, ca, allow_insecure: _ } = self;
        let mut hash = Sha256::new();
        let mut add = |part: &str| {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        };
        match url {
            GitUrl::Http(url) => {
                add("http");
                add(url.as_str().trim_end_matches('/'));
            }
            GitUrl::Ssh(SshUrl { user, at: HostPort { host, port }, path }) => {
                add("ssh");
                add(user);
                add(host);
                add(&port.to_string());
                add(path);
            }
        }
        match credentials {
            Credentials::None => add("none"),
            Credentials::Basic(Basic { user, password }) => {
                add("basic");
                add(user);
                add(password.expose_secret());
            }
            Credentials::Ssh(SshAccess { private_key, known_hosts }) => {
                add("key");
                add(private_key.expose_secret());
                add(known_hosts);
            }
        }
        add(ca.as_deref().unwrap_or_default());
        hex::encode(hash.finalize())
    }
}

impl fmt::Display for Rewritten {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::MovedTag => "the tag was moved to another commit",
            Self::ForcePush => "the branch was rewritten: it does not lead to its former commit any more",
        })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LargeFiles { count, example } => write!(
                formatter,
                "{count} file(s) are kept in Git LFS, such as {example:?}; their pointers are delivered in their place"
            ),
            Self::Submodules { count, example } => write!(
                formatter,
                "{count} submodule(s) were not asked for, such as {example:?}; their folders are empty"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
