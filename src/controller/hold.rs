//! What may not go while it is used: what objects are on, and the administrators' Secrets that it is reached with.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt, api::ListParams, core::DeserializeGuard};

use super::{
    finalizer::{self, is_held, release},
    run::Kind,
    status,
};
use crate::api::{DockerHost, ProxmoxCluster};

/// So many users are told by name.
const NAMED: usize = 5;

/// A kind that uses Secrets of the operator's namespace, which are held by our finalizer in the meantime.
pub trait Holder: Kind {
    /// The Secrets that the spec names.
    fn named(&self) -> Vec<String>;

    /// The Secrets that are held for it, as its status says.
    fn held(&self) -> &[String];

    /// Writes down which are held.
    fn set_held(&mut self, names: Vec<String>);
}

/// Taken while it is decided whether a Secret is still used: of two that share one, the second to go sees that the first is
/// gone.
#[derive(Debug, Default)]
pub struct Leaving(tokio::sync::Mutex<()>);

impl Leaving {
    /// One after the other.
    pub async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.0.lock().await
    }
}

/// The objects of a kind that have, or may have, something outside, and satisfy `uses`.
///
/// # Errors
/// What the API server answers.
pub async fn users<K: Kind>(client: &Client, uses: impl Fn(&K) -> bool) -> Result<Vec<String>, kube::Error> {
    let all = Api::<DeserializeGuard<K>>::all(client.clone()).list(&ListParams::default()).await?;
    let held = all.into_iter().filter_map(|object| object.0.ok()).filter(|object| uses(object) && is_held(object));
    Ok(held.map(|object| format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())).collect())
}

/// Holds the Secrets that an object uses, and lets those go that it used before. What is held is written down first.
///
/// # Errors
/// What the API server answers.
pub async fn hold_secrets<H: Holder>(
    client: &Client,
    namespace: &str,
    leaving: &Leaving,
    object: &H,
    secrets: &[&Secret],
) -> Result<H, kube::Error> {
    let names: Vec<String> = secrets.iter().map(|secret| secret.name_any()).collect();
    let known = object.held().to_vec();
    let mut object = object.clone();
    let new: Vec<String> = names.iter().filter(|name| !known.contains(name)).cloned().collect();
    if !new.is_empty() {
        object = write_held(client, &object, known.iter().cloned().chain(new).collect()).await?;
    }
    let api = Api::<Secret>::namespaced(client.clone(), namespace);
    for secret in secrets {
        finalizer::hold(&api, *secret).await?;
    }
    let before: Vec<String> = known.into_iter().filter(|known| !names.contains(known)).collect();
    if before.is_empty() {
        return Ok(object);
    }
    let _turn = leaving.turn().await;
    release_secrets(client, namespace, &object, &before).await?;
    write_held(client, &object, names).await
}

async fn write_held<H: Holder>(client: &Client, object: &H, names: Vec<String>) -> Result<H, kube::Error> {
    let mut after = object.clone();
    after.set_held(names);
    status::write(&H::api(client, object), &after).await
}

/// Lets the Secrets go that an object held and does not use any more, unless another one uses them.
///
/// # Errors
/// What the API server answers.
pub async fn release_secrets<H: Holder>(
    client: &Client,
    namespace: &str,
    object: &H,
    names: &[String],
) -> Result<(), kube::Error> {
    if names.is_empty() {
        return Ok(());
    }
    let mut used = used_by_others::<ProxmoxCluster, H>(client, object).await?;
    used.extend(used_by_others::<DockerHost, H>(client, object).await?);
    let secrets = Api::<Secret>::namespaced(client.clone(), namespace);
    for name in names.iter().filter(|name| !used.contains(name)) {
        if let Some(secret) = secrets.get_opt(name).await? {
            release(&secrets, &secret).await?;
        }
    }
    Ok(())
}

/// The Secrets that the objects of a kind use, but for one object of what may be another kind.
async fn used_by_others<K: Holder, H: Holder>(client: &Client, but: &H) -> Result<Vec<String>, kube::Error> {
    let all = Api::<DeserializeGuard<K>>::all(client.clone()).list(&ListParams::default()).await?;
    let others = all.into_iter().filter_map(|other| other.0.ok()).filter(|other| other.uid() != but.uid());
    Ok(others.flat_map(|other| other.named().into_iter().chain(other.held().to_vec())).collect())
}

/// A few names, and how many more there are.
pub fn some(names: &[String]) -> String {
    let named: Vec<_> = names.iter().take(NAMED).map(String::as_str).collect();
    match names.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}
