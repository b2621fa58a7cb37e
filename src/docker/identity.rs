//! Whose a container, a network or a volume is.
//!
//! Labels say it: the installation, the object's namespace, name and uid, and a mark, which is a hash of all that makes
//! the thing what it is. All must fit. Labels are copied easily: `docker commit` puts a container's into an image, and
//! tools that duplicate a container take them along. So a container is ours only if
//!
//! - its id was recorded, or
//! - its labels fit, its image does not carry the same mark (then it was made from a copy of ours), and it has one of
//!   the names that the labels and the id allow: that of its place, the one under which it waits to take it, or the one
//!   under which it makes room for another.
//!
//! What carries the labels and none of that is a copy. It is never touched.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::labels;

/// A hash of what makes the thing what it is; see the module.
pub const MARK: &str = "cloudfaster.app/mark";
/// What a container, network or volume was made from, as a hash: it is made anew when that is another one.
pub const CONFIG: &str = "cloudfaster.app/config";
/// The release for which a container was made.
pub const RELEASE: &str = "cloudfaster.app/release";
/// The container's proper name.
pub const CONTAINER: &str = "cloudfaster.app/container";
/// What the last restart was asked for with when the container was made.
pub const RESTART: &str = "cloudfaster.app/restart";
/// The networks that a container was made for, as `key=id`, separated by commas.
pub const NETWORKS: &str = "cloudfaster.app/networks";
/// On a network on which a project meets the host's proxy: the name of the proxy's container, which is connected to it, and let go
/// before it is removed. Empty if the proxy is in no container.
pub const PROXY: &str = "cloudfaster.app/proxy";
/// On a volume: content is delivered into it, and it goes with the last release that needs it.
pub const CONTENT: &str = "cloudfaster.app/content";
/// On such a volume: a container may write into it.
pub const WRITABLE: &str = "cloudfaster.app/writable";
/// Names of the volumes with delivered content that a container was made for, separated by commas.
pub const CONTENTS: &str = "cloudfaster.app/contents";
/// The service that the containers seem to be of by which content is delivered. No compose file can have one of this name.
pub const DELIVERY: &str = "cloudfaster:delivery";
/// The target of an anonymous volume.
pub const TARGET: &str = "cloudfaster.app/target";
/// An annotation of the object: the uid of a former object of this name whose things it takes over.
pub const ADOPT_ANNOTATION: &str = "cloudfaster.app/adopt";
/// What an image was built from, as a hash.
pub const BUILD: &str = "cloudfaster.app/build";

/// The object that things belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The installation of the operator.
    pub installation: String,
    /// The object's namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// The object's uid: one that is made again under the same name has another.
    pub uid: String,
    /// Uids of former objects of this name whose things this one takes over.
    pub formerly: BTreeSet<String>,
}

/// What a thing is, beside whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing<'a> {
    /// A container.
    Container {
        /// Its service.
        service: &'a str,
        /// Its number within the service, from 1.
        number: u32,
        /// Its proper name.
        name: &'a str,
        /// What it is made from.
        config: &'a str,
        /// The id of the image that was meant.
        image: &'a str,
    },
    /// A network.
    Network {
        /// Its key in the compose file.
        key: &'a str,
        /// Its name.
        name: &'a str,
    },
    /// A volume.
    Volume {
        /// Its name.
        name: &'a str,
    },
}

/// Whose the labels say that a thing is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The object's.
    Ours,
    /// That of an object of the same name with another uid.
    Former(String),
    /// Another object's: its namespace and name.
    Other(String, String),
    /// Nobody's, as far as this installation knows.
    Nobody,
}

impl Owner {
    /// The labels that say whose a thing is.
    pub fn labels(&self, thing: Thing<'_>) -> BTreeMap<String, String> {
        let mark = mark(&self.installation, &self.namespace, &self.name, &self.uid, thing);
        [
            (labels::INSTALLATION, self.installation.clone()),
            (labels::NAMESPACE, self.namespace.clone()),
            (labels::NAME, self.name.clone()),
            (labels::UID, self.uid.clone()),
            (MARK, mark),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }

    /// Whose the labels of a thing say that it is.
    pub fn claim(&self, labels: &BTreeMap<String, String>, thing: Thing<'_>) -> Claim {
        let label = |key| labels.get(key).map_or("", String::as_str);
        let (namespace, name, uid) = (label(labels::NAMESPACE), label(labels::NAME), label(labels::UID));
        if label(labels::INSTALLATION) != self.installation
            || label(MARK) != mark(&self.installation, namespace, name, uid, thing)
        {
            return Claim::Nobody;
        }
        if (namespace, name) != (self.namespace.as_str(), self.name.as_str()) {
            return Claim::Other(namespace.to_owned(), name.to_owned());
        }
        match uid == self.uid || self.formerly.contains(uid) {
            true => Claim::Ours,
            false => Claim::Former(uid.to_owned()),
        }
    }
}

/// The name under which a container is made whose proper name is not free yet.
pub fn waiting_name(proper: &str, config: &str, image: &str) -> String {
    let hash = hash([config, image]);
    format!("{}_{proper}", hash.get(..12).unwrap_or_default())
}

/// The name of the container by which content is delivered into a volume.
pub fn delivery_name(volume: &str) -> String {
    format!("{volume}-delivery")
}

/// The name of the container by which it is looked what was written into a volume.
pub fn survey_name(volume: &str) -> String {
    format!("{volume}-survey")
}

/// The name of a container that makes room for another.
pub fn former_name(proper: &str, id: &str) -> String {
    format!("{}_{proper}", id.get(..12).unwrap_or(id))
}

/// Hash of words, each of which ends where it ends.
pub fn hash<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut digest = Sha256::new();
    for word in words {
        digest.update(word.len().to_be_bytes());
        digest.update(word.as_bytes());
    }
    hex::encode(digest.finalize())
}

fn mark(installation: &str, namespace: &str, name: &str, uid: &str, thing: Thing<'_>) -> String {
    let owner = [installation, namespace, name, uid];
    let hash = match thing {
        Thing::Container { service, number, name, config, image } => {
            hash(owner.into_iter().chain(["container", service, &number.to_string(), name, config, image]))
        }
        Thing::Network { key, name } => hash(owner.into_iter().chain(["network", key, name])),
        Thing::Volume { name } => hash(owner.into_iter().chain(["volume", name])),
    };
    hash.get(..32).unwrap_or_default().to_owned()
}
