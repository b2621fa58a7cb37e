//! The keys that there are, as a watch shows them: one that is made or revoked is known at once.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use parking_lot::RwLock;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use super::{ApiKey, Hash};
use crate::rest::cache::{Cached, Name};

/// All keys. Clones are the same.
#[derive(Clone, Default)]
pub struct Keyring {
    keys: Arc<RwLock<HashMap<Name, Arc<ApiKey>>>>,
}

/// Why a key opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such key.
    Unknown,
    /// It has ended.
    Expired,
}

impl Keyring {
    /// The key that a client has given.
    ///
    /// # Errors
    /// When there is none, or it has ended.
    pub fn find(&self, given: &str, now: Timestamp) -> Result<Arc<ApiKey>, Refusal> {
        let given = Hash::of(given);
        let keys = self.keys.read();
        let (mut found, mut at) = (Choice::from(0), 0_u64);
        // All of them are compared, whichever it is.
        for (index, key) in (0_u64..).zip(keys.values()) {
            let same = given.0.ct_eq(&key.hash.0);
            at.conditional_assign(&index, same);
            found |= same;
        }
        if !bool::from(found) {
            return Err(Refusal::Unknown);
        }
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let key = keys.values().nth(at).ok_or(Refusal::Unknown)?;
        if key.is_expired(now) { Err(Refusal::Expired) } else { Ok(key.clone()) }
    }
}

impl Cached<Secret> for Keyring {
    fn put(&self, name: Name, secret: Secret) {
        match ApiKey::read(&secret) {
            Ok(key) => {
                self.keys.write().insert(name, Arc::new(key));
            }
            Err(error) => {
                tracing::warn!(%error, "an API key cannot be understood, and opens nothing");
                self.keys.write().remove(&name);
            }
        }
    }

    fn remove(&self, name: &Name) {
        self.keys.write().remove(name);
    }

    fn retain(&self, listed: &BTreeSet<Name>) {
        self.keys.write().retain(|name, _| listed.contains(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::{cache::name, keys::Scope};

    fn key(id: &str, given: &str) -> ApiKey {
        ApiKey {
            id: id.to_owned(),
            hash: Hash::of(given),
            owner: "someone".to_owned(),
            scopes: vec![Scope::Read],
            expires: None,
            user: None,
        }
    }

    fn put(ring: &Keyring, secret: Secret) {
        ring.put(name(&secret), secret);
    }

    #[test]
    fn the_right_key_is_found_among_many_until_it_is_revoked() {
        let ring = Keyring::default();
        for number in 0..20 {
            put(&ring, key(&format!("key-{number}"), &format!("given-{number}")).secret());
        }
        let now = Timestamp::now();
        for number in 0..20 {
            assert_eq!(ring.find(&format!("given-{number}"), now).unwrap().id, format!("key-{number}"));
        }
        assert_eq!(ring.find("given-20", now), Err(Refusal::Unknown));
        ring.remove(&name(&key("key-3", "given-3").secret()));
        assert_eq!(ring.find("given-3", now), Err(Refusal::Unknown));
        ring.retain(&BTreeSet::from([name(&key("key-7", "").secret())]));
        assert_eq!(ring.find("given-8", now), Err(Refusal::Unknown));
        assert_eq!(ring.find("given-7", now).unwrap().id, "key-7");
    }

    #[test]
    fn a_key_that_has_ended_and_one_that_was_spoilt_open_nothing() {
        let ring = Keyring::default();
        let end = Timestamp::from_second(100).unwrap();
        put(&ring, ApiKey { expires: Some(end), ..key("a", "a") }.secret());
        assert_eq!(ring.find("a", end), Err(Refusal::Expired));
        assert!(ring.find("a", Timestamp::from_second(99).unwrap()).is_ok());
        put(&ring, key("b", "b").secret());
        let mut spoilt = key("b", "b").secret();
        spoilt.data.as_mut().unwrap().remove("scopes");
        put(&ring, spoilt);
        assert_eq!(ring.find("b", end), Err(Refusal::Unknown));
    }
}
