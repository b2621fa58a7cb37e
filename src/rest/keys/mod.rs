//! API keys: a Secret for each, which has a hash of it and what it is good for.
//!
//! The keys are drawn with 256 bits, so a plain hash gives nothing away, and the time that a comparison takes tells nobody
//! how close he is.

mod command;
mod ring;

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{ResourceExt, api::ObjectMeta};
use sha2::{Digest, Sha256};

pub use command::{KeyArgs, KeyCommand, run};
pub use ring::{Keyring, Refusal};

/// The type of the Secrets.
const TYPE: &str = "cloudfaster.app/api-key";
/// The label by which the Secrets are found.
pub const LABEL: &str = "cloudfaster.app/api-key";

const HASH: &str = "hash";
const OWNER: &str = "owner";
const SCOPES: &str = "scopes";
const EXPIRES: &str = "expires";
const USER: &str = "user";

/// What a key is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Scope {
    /// Looking at everything.
    Read,
    /// Making, controlling and looking at machines.
    Vms,
    /// Making, controlling and looking at services.
    Services,
    /// Everything, users included.
    Admin,
}

impl Scope {
    fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Vms => "vms",
            Self::Services => "services",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}

/// The SHA-256 hash of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Of a key as the client has it.
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }
}

/// A key as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// The name of its Secret, which logs tell in its place.
    pub id: String,
    /// Of the key.
    pub hash: Hash,
    /// Who has it, in the administrator's words.
    pub owner: String,
    /// What it is good for.
    pub scopes: Vec<Scope>,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// The one user whose things it sees and touches.
    pub user: Option<String>,
}

/// A Secret that is no key.
#[derive(Debug, thiserror::Error)]
#[error("Secret {name}: {why}")]
pub struct Unreadable {
    name: String,
    why: String,
}

impl ApiKey {
    /// Whether it is good for any of this.
    pub fn may(&self, scopes: &[Scope]) -> bool {
        self.scopes.iter().any(|held| *held == Scope::Admin || scopes.contains(held))
    }

    /// Whether it has ended.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }

    /// As it is kept.
    pub fn secret(&self) -> Secret {
        let Self { id, hash, owner, scopes, expires, user } = self;
        let scopes: Vec<&str> = scopes.iter().map(|scope| scope.word()).collect();
        let mut data = BTreeMap::from([
            (HASH.to_owned(), hex::encode(hash.0)),
            (OWNER.to_owned(), owner.clone()),
            (SCOPES.to_owned(), scopes.join(",")),
        ]);
        data.extend(expires.map(|end| (EXPIRES.to_owned(), end.to_string())));
        data.extend(user.clone().map(|user| (USER.to_owned(), user)));
        Secret {
            metadata: ObjectMeta {
                name: Some(id.clone()),
                labels: Some(BTreeMap::from([(LABEL.to_owned(), "true".to_owned())])),
                ..ObjectMeta::default()
            },
            type_: Some(TYPE.to_owned()),
            data: Some(data.into_iter().map(|(key, text)| (key, ByteString(text.into_bytes()))).collect()),
            ..Secret::default()
        }
    }

    /// From its Secret. What cannot be understood opens nothing.
    ///
    /// # Errors
    /// What cannot be understood.
    pub fn read(secret: &Secret) -> Result<Self, Unreadable> {
        let name = secret.name_any();
        let unreadable = |why: String| Unreadable { name: name.clone(), why };
        let text = |key: &str| -> Result<Option<String>, Unreadable> {
            let value = secret.data.as_ref().and_then(|data| data.get(key));
            let text = value.map(|value| String::from_utf8(value.0.clone())).transpose();
            text.map_err(|_| unreadable(format!("{key} is no text")))
        };
        let trimmed = |key: &str| Ok(text(key)?.map(|text| text.trim().to_owned()));
        let needed = |key: &str| trimmed(key)?.ok_or_else(|| unreadable(format!("{key} is missing")));
        let hash = hex::decode(needed(HASH)?).ok().and_then(|bytes| bytes.try_into().ok());
        let scopes = needed(SCOPES)?;
        let scopes = scopes.split(',').map(str::trim).filter(|word| !word.is_empty()).map(|word| {
            let known = <Scope as clap::ValueEnum>::value_variants().iter().find(|scope| scope.word() == word);
            known.copied().ok_or_else(|| unreadable(format!("scopes: {word} is none of read, vms, services, admin")))
        });
        let scopes = scopes.collect::<Result<_, _>>()?;
        let expires = trimmed(EXPIRES)?.map(|end| {
            end.parse().map_err(|_| unreadable(format!("expires: {end} is no time such as 2030-01-31T00:00:00Z")))
        });
        Ok(Self {
            hash: Hash(hash.ok_or_else(|| unreadable("hash is not 64 hexadecimal digits".to_owned()))?),
            owner: needed(OWNER)?,
            scopes,
            expires: expires.transpose()?,
            // Blanks belong to it, but for what an editor leaves at the end: with others it would be another user's.
            user: text(USER)?.map(|user| user.trim_end_matches(['\r', '\n']).to_owned()),
            id: name.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> ApiKey {
        ApiKey {
            id: "key-1".to_owned(),
            hash: Hash::of("secret"),
            owner: "The panel".to_owned(),
            scopes: vec![Scope::Read, Scope::Vms],
            expires: Some(Timestamp::from_second(1_000_000_000).unwrap()),
            user: Some("7".to_owned()),
        }
    }

    #[test]
    fn a_key_survives_being_kept_and_is_not_in_its_secret() {
        let secret = key().secret();
        assert_eq!(ApiKey::read(&secret).unwrap(), key());
        assert!(!secret.data.unwrap().values().any(|value| value.0.windows(6).any(|part| part == b"secret")));
    }

    #[test]
    fn a_key_is_bound_to_the_very_user_that_was_named() {
        for (kept, user) in [("7", "7"), (" 7 ", " 7 "), ("7\r\n", "7")] {
            let secret = ApiKey { user: Some(kept.to_owned()), ..key() }.secret();
            assert_eq!(ApiKey::read(&secret).unwrap().user.as_deref(), Some(user), "{kept:?}");
        }
    }

    #[test]
    fn a_secret_that_cannot_be_understood_is_no_key() {
        for (field, value, complaint) in [
            (HASH, Some("abc"), "hash is not 64 hexadecimal digits"),
            (HASH, None, "hash is missing"),
            (OWNER, None, "owner is missing"),
            (SCOPES, Some("read,root"), "scopes: root is none of read, vms, services, admin"),
            (EXPIRES, Some("tomorrow"), "expires: tomorrow is no time"),
        ] {
            let mut secret = key().secret();
            let data = secret.data.as_mut().unwrap();
            match value {
                Some(value) => data.insert(field.to_owned(), ByteString(value.as_bytes().to_vec())),
                None => data.remove(field),
            };
            let error = ApiKey::read(&secret).unwrap_err().to_string();
            assert!(error.contains(complaint), "{field}: {error}");
        }
    }

    #[test]
    fn a_key_is_good_for_its_scopes_and_an_administrators_for_all() {
        assert!(key().may(&[Scope::Vms]) && key().may(&[Scope::Services, Scope::Read]));
        assert!(!key().may(&[Scope::Services]) && !key().may(&[Scope::Admin]) && !key().may(&[]));
        assert!(ApiKey { scopes: vec![Scope::Admin], ..key() }.may(&[Scope::Services]));
        assert!(key().is_expired(Timestamp::now()) && !ApiKey { expires: None, ..key() }.is_expired(Timestamp::MAX));
    }
}
