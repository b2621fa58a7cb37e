//! Who we are to registries: Secrets of type `kubernetes.io/dockerconfigjson`.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use secrecy::SecretString;
use serde::Deserialize;

use super::secret::{Problem, value};
use crate::{
    docker::{
        engine::{Credentials, Reference},
        plan::Action,
    },
    reason::Reason,
};

const KEY: &str = ".dockerconfigjson";

/// Credentials, by registry and the beginning of a repository there.
#[derive(Clone, Debug, Default)]
pub struct Registries {
    /// In the order in which they are asked; no other has the same name.
    known: Vec<(String, Credentials)>,
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
}

#[derive(Deserialize)]
struct Auth {
    username: Option<String>,
    password: Option<String>,
    auth: Option<String>,
}

impl Registries {
    /// Those of a list of Secrets; of what several know, the first decides.
    ///
    /// # Errors
    /// The Secret that is no such configuration.
    pub fn read<'a>(secrets: impl Iterator<Item = &'a Secret>, field: &str) -> Result<Self, Problem> {
        let mut known = Self::default();
        for secret in secrets {
            let text = value(secret, KEY, field)?;
            let invalid = |what: &str| {
                let message = format!("{field}: {KEY} of Secret {} {what}", secret.name_any());
                Problem::Wait(Reason::new("InvalidSecret", message))
            };
            // The parser's own words would show what the Secret holds.
            let config: Config = serde_json::from_str(&text).map_err(|_| invalid("is no configuration of Docker"))?;
            for (server, auth) in config.auths {
                let credentials = credentials(&auth)
                    .ok_or_else(|| invalid(&format!("has neither auth nor username and password for {server}")))?;
                known.add(address(&server), credentials);
            }
        }
        Ok(known)
    }

    fn add(&mut self, name: String, credentials: Credentials) {
        if !self.known.iter().any(|(known, _)| *known == name) {
            self.known.push((name, credentials));
        }
    }

    /// These, and behind them those of another list.
    pub fn before(&self, others: &Self) -> Self {
        let mut all = self.clone();
        for (name, credentials) in &others.known {
            all.add(name.clone(), credentials.clone());
        }
        all
    }

    /// The credentials for an image: those whose name says the most of it, as Kubernetes chooses.
    pub fn of(&self, image: &Reference) -> Option<&Credentials> {
        let repository = image.full_repository();
        let fits =
            |name: &str| repository.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let fitting = self.known.iter().filter(|(name, _)| fits(name));
        // The first of equal length.
        fitting.rev().max_by_key(|(name, _)| name.len()).map(|(_, credentials)| credentials)
    }

    /// The credentials that a change takes, by registry: those for the image that is pulled, or for whatever a build is from.
    pub fn for_action(&self, action: &Action) -> BTreeMap<String, Credentials> {
        let registry = |name: &str| name.split('/').next().unwrap_or_default().to_owned();
        match action {
            Action::Pull { image, .. } => {
                let image = image.parse::<Reference>().ok();
                let known = image.and_then(|image| Some((image.registry().to_owned(), self.of(&image)?.clone())));
                known.into_iter().collect()
            }
            // The first of a registry is the last that is put in.
            Action::Build { .. } => {
                self.known.iter().rev().map(|(name, credentials)| (registry(name), credentials.clone())).collect()
            }
            _ => BTreeMap::new(),
        }
    }
}

fn credentials(auth: &Auth) -> Option<Credentials> {
    let Auth { username, password, auth } = auth;
    if let (Some(username), Some(password)) = (username, password) {
        return Some(Credentials { username: username.clone(), password: SecretString::from(password.clone()) });
    }
    let text = String::from_utf8(STANDARD.decode(auth.as_ref()?.trim()).ok()?).ok()?;
    let (username, password) = text.split_once(':')?;
    Some(Credentials { username: username.to_owned(), password: SecretString::from(password.to_owned()) })
}

/// `https://index.docker.io/v1/` is Docker Hub's old name, under which `docker login` keeps it.
fn address(server: &str) -> String {
    let bare = server.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let bare = bare.trim_end_matches("/v1").trim_end_matches("/v2");
    match bare {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        bare => bare.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use serde_json::json;

    use super::*;

    fn secret(config: &serde_json::Value) -> Secret {
        let data = BTreeMap::from([(KEY.to_owned(), ByteString(config.to_string().into_bytes()))]);
        Secret { data: Some(data), ..Secret::default() }
    }

    fn user(registries: &Registries, image: &str) -> Option<String> {
        registries.of(&image.parse().unwrap()).map(|credentials| credentials.username.clone())
    }

    #[test]
    fn the_credentials_that_say_the_most_of_an_image_are_taken() {
        let own = secret(&json!({"auths": {
            "https://index.docker.io/v1/": {"username": "hub", "password": "x"},
            "registry.example.com": {"auth": STANDARD.encode("all:x:y")},
            "registry.example.com/shop": {"username": "shop", "password": "x"},
        }}));
        let other = secret(&json!({"auths": {
            "registry.example.com": {"username": "late", "password": "x"},
            "localhost:5000": {"username": "local", "password": "x"},
        }}));
        let registries = Registries::read([&own].into_iter(), "f").unwrap();
        let registries = registries.before(&Registries::read([&other].into_iter(), "f").unwrap());
        for (image, known) in [
            ("nginx", Some("hub")),
            ("registry.example.com/bank/web:1", Some("all")),
            ("registry.example.com/shop/web", Some("shop")),
            ("registry.example.com/shopping/web", Some("all")),
            ("localhost:5000/web", Some("local")),
            ("registry.example.com.evil.example/web", None),
        ] {
            assert_eq!(user(&registries, image).as_deref(), known, "{image}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_secret_is_told_without_what_it_holds() {
        for (config, told) in [
            (json!("hunter2"), "is no configuration of Docker"),
            (
                json!({"auths": {"r.example": {"auth": "hunter2"}}}),
                "neither auth nor username and password for r.example",
            ),
        ] {
            let problem = Registries::read([&secret(&config)].into_iter(), "spec.registrySecrets").unwrap_err();
            let message = problem.reason().message;
            assert!(message.contains(told) && !message.contains("hunter2"), "{message}");
        }
        let problem = Registries::read([&Secret::default()].into_iter(), "spec.registrySecrets").unwrap_err();
        assert!(problem.reason().message.contains("has no key .dockerconfigjson"));
    }
}
