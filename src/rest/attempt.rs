//! An attempt to make an object, and how what is there is related to it.

use std::fmt::Debug;

use kube::{Resource, ResourceExt};
use uuid::Uuid;

use super::names;
use crate::api;

/// The user's id, as the client wrote it.
pub const USERID: &str = "cloudfaster.app/userid";
/// What tells the request from another.
const WANTED: &str = "cloudfaster.app/request-hash";
/// What tells this attempt to create the object from all others.
const ATTEMPT: &str = "cloudfaster.app/request-id";
/// The label by which a request is found again that carried an idempotency key: a hash of the user and the key.
const IDEMPOTENCY: &str = "cloudfaster.app/idempotency-key";

/// So much of a hash fits into a label.
const LABEL: usize = 40;

/// An attempt to make an object, once.
#[derive(Clone, Debug)]
pub struct Attempt<K> {
    /// What is made.
    pub object: K,
    /// The idempotency key, if there is one.
    pub key: Option<String>,
    /// The selector that finds the objects of the same idempotency key, if there is one.
    pub selector: Option<String>,
}

/// Who asks for what.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The user's id.
    pub userid: &'a str,
    /// What tells the request from another.
    pub hash: &'a str,
    /// The idempotency key.
    pub key: Option<&'a str>,
}

/// How an object that is there is related to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// This very attempt made it.
    Ours,
    /// An earlier attempt of the same request made it.
    Repeated,
    /// The idempotency key was given with another request.
    KeyReused,
    /// It is another one, of the same name.
    Other,
}

impl<K: Resource<DynamicType = ()>> Attempt<K> {
    /// An attempt to make this object, which is marked with who asked for what.
    pub fn new(mut object: K, asked: Asked<'_>) -> Self {
        let Asked { userid, hash, key } = asked;
        let mark = key.map(|key| names::hash(&[userid, key]).chars().take(LABEL).collect::<String>());
        object.labels_mut().insert(api::USER.to_owned(), names::user(userid));
        if let Some(mark) = &mark {
            object.labels_mut().insert(IDEMPOTENCY.to_owned(), mark.clone());
        }
        let annotations =
            [(USERID, userid.to_owned()), (WANTED, hash.to_owned()), (ATTEMPT, Uuid::new_v4().to_string())];
        object.annotations_mut().extend(annotations.map(|(name, value)| (name.to_owned(), value)));
        let key = key.map(str::to_owned);
        Self { object, key, selector: mark.map(|mark| format!("{IDEMPOTENCY}={mark}")) }
    }

    /// How an object that is there is related to this attempt.
    pub fn relation(&self, found: &K) -> Relation {
        let same = |name: &str| {
            let ours = self.object.annotations().get(name);
            ours.is_some() && ours == found.annotations().get(name)
        };
        let key = self.object.labels().get(IDEMPOTENCY);
        if same(ATTEMPT) {
            Relation::Ours
        } else if key.is_none() || key != found.labels().get(IDEMPOTENCY) {
            Relation::Other
        } else if same(WANTED) && self.object.meta().name == found.meta().name {
            Relation::Repeated
        } else {
            Relation::KeyReused
        }
    }
}
