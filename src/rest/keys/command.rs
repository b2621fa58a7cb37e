//! `cloudfaster apikey`: keys are made, listed and revoked with the rights of whoever runs it.

use std::io::Read;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, PostParams},
};

use super::{ApiKey, Hash, LABEL, Scope};
use crate::{kubernetes::describe, rest::change};

/// The shortest key from elsewhere that is taken, in characters: only a hash of it is kept, which must not be guessed.
const SHORTEST: usize = 20;

/// What is done with keys.
#[derive(Debug, clap::Args)]
pub struct KeyArgs {
    /// Namespace in which the REST shim keeps its keys and users.
    #[arg(long, env = "CLOUDFASTER_REST_NAMESPACE", default_value = crate::rest::NAMESPACE, global = true)]
    rest_namespace: String,
    #[command(subcommand)]
    command: KeyCommand,
}

/// What is done with keys.
#[derive(Debug, clap::Subcommand)]
pub enum KeyCommand {
    /// Makes a key and prints it, once: only its hash is kept.
    Create {
        /// Who gets it, for the list and the logs.
        #[arg(long)]
        owner: String,
        /// What it is good for; several separated by commas.
        #[arg(long, value_enum, value_delimiter = ',', default_value = "read,vms,services")]
        scope: Vec<Scope>,
        /// The one user, by its id, whose things it sees and touches. Without it, those of all.
        #[arg(long)]
        user: Option<String>,
        /// How long it is good for, such as 90d or 12h. Without it, until it is revoked.
        #[arg(long, value_name = "DURATION")]
        expires_in: Option<String>,
        /// Take the key that an old client has, from the standard input, instead of drawing one.
        #[arg(long)]
        from_stdin: bool,
    },
    /// Lists the keys, without what opens anything.
    List,
    /// Revokes keys, by their ids: they open nothing any more.
    Revoke {
        /// The ids, as they are listed.
        #[arg(required = true)]
        id: Vec<String>,
    },
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Kubernetes refuses.
    #[error("{}", describe(.0))]
    Kubernetes(#[from] kube::Error),
    /// The time cannot be read.
    #[error("--expires-in: {0} is not a time such as 90d, 12h or 30m")]
    Time(String),
    /// The key from elsewhere will not do.
    #[error("the key on the standard input {0}")]
    Given(String),
    /// It is there already: revoking one of two would leave the other.
    #[error("the key on the standard input is kept as {0} already; revoke that first to change what it is good for")]
    Known(String),
    /// There is no such key.
    #[error("there is no API key {0} in the namespace {1}")]
    Unknown(String, String),
}

/// Runs a command, and prints what came of it.
///
/// # Errors
/// When it cannot be done.
pub async fn run(args: KeyArgs, client: Client) -> Result<(), KeyError> {
    let KeyArgs { rest_namespace, command } = args;
    let api = Api::<Secret>::namespaced(client, &rest_namespace);
    match command {
        KeyCommand::Create { owner, scope, user, expires_in, from_stdin } => {
            let expires = expires_in.map(|text| end(&text, Timestamp::now())).transpose()?;
            let key = if from_stdin { given()? } else { draw() };
            let all = api.list(&ListParams::default().labels(LABEL)).await?;
            if let Some(id) = known(&all.items, Hash::of(&key)) {
                return Err(KeyError::Known(id));
            }
            let mut scopes = scope;
            scopes.sort_unstable();
            scopes.dedup();
            let id = format!("key-{}", hex::encode(rand::random::<[u8; 5]>()));
            let kept = ApiKey { id, hash: Hash::of(&key), owner, scopes, expires, user };
            api.create(&PostParams::default(), &kept.secret()).await?;
            if from_stdin {
                println!("{}", kept.id);
            } else {
                eprintln!("API key {}; it is not shown again:", kept.id);
                println!("{key}");
            }
        }
        KeyCommand::List => {
            println!("{:16} {:20} {:12} {:25} OWNER", "ID", "SCOPES", "USER", "EXPIRES");
            for secret in api.list(&ListParams::default().labels(LABEL)).await? {
                match ApiKey::read(&secret) {
                    Ok(ApiKey { id, hash: _, owner, scopes, expires, user }) => {
                        let scopes: Vec<String> = scopes.iter().map(Scope::to_string).collect();
                        let expires = expires.map_or_else(|| "never".to_owned(), |end| end.to_string());
                        let user = user.unwrap_or_else(|| "all".to_owned());
                        println!("{id:16} {:20} {user:12} {expires:25} {owner}", scopes.join(","));
                    }
                    Err(error) => println!("{:16} opens nothing: {error}", secret.name_any()),
                }
            }
        }
        KeyCommand::Revoke { id } => {
            for id in id {
                let unknown = || KeyError::Unknown(id.clone(), rest_namespace.clone());
                let secret = api.get_opt(&id).await?.filter(|secret| secret.labels().contains_key(LABEL));
                change::delete(&api, &secret.ok_or_else(unknown)?).await?;
                println!("{id} is revoked");
            }
        }
    }
    Ok(())
}

/// A new key: 256 bits that nobody can guess, with a word in front by which leaked ones are found.
fn draw() -> String {
    format!("cloudfaster_{}", hex::encode(rand::random::<[u8; 32]>()))
}

/// The id under which a key is kept.
fn known(all: &[Secret], hash: Hash) -> Option<String> {
    all.iter().filter_map(|secret| ApiKey::read(secret).ok()).find(|key| key.hash == hash).map(|key| key.id)
}

fn given() -> Result<String, KeyError> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|error| KeyError::Given(error.to_string()))?;
    let key = text.trim();
    if key.len() < SHORTEST {
        return Err(KeyError::Given(format!("is too short to be kept as a hash: it needs {SHORTEST} characters")));
    }
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(KeyError::Given("is none that a header can carry".to_owned()));
    }
    Ok(key.to_owned())
}

/// Days are of 24 hours.
fn end(text: &str, now: Timestamp) -> Result<Timestamp, KeyError> {
    let wrong = || KeyError::Time(text.to_owned());
    let time = match text.trim().strip_suffix('d').map(str::parse::<i32>) {
        Some(days) => SignedDuration::from_hours(i64::from(days.map_err(|_| wrong())?).saturating_mul(24)),
        None => text.parse().map_err(|_| wrong())?,
    };
    if time.is_negative() || time.is_zero() {
        return Err(wrong());
    }
    now.checked_add(time).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_ends_after_a_time_as_people_write_it() {
        let now = Timestamp::from_second(0).unwrap();
        for (text, seconds) in [("90d", 90 * 86_400), ("12h", 12 * 3600), ("1h 30m", 5400)] {
            assert_eq!(end(text, now).unwrap().as_second(), seconds, "{text}");
        }
        for text in ["", "d", "-1d", "0h", "soon", "999999999d"] {
            assert!(end(text, now).is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_that_is_kept_is_known() {
        let kept = ApiKey {
            id: "key-1".to_owned(),
            hash: Hash::of("the panel's old key"),
            owner: "the panel".to_owned(),
            scopes: vec![Scope::Read],
            expires: None,
            user: None,
        };
        let all = [Secret::default(), kept.secret()];
        assert_eq!(known(&all, Hash::of("the panel's old key")).as_deref(), Some("key-1"));
        assert_eq!(known(&all, Hash::of("another")), None);
    }

    #[test]
    fn no_key_is_drawn_twice() {
        let (one, other) = (draw(), draw());
        assert!(one != other && one.len() == "cloudfaster_".len() + 64);
    }
}
