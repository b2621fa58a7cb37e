//! A service that is made of types: the compose file that the catalogue makes of them, and the passwords that it needs.

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Api, ResourceExt, api::PostParams};
use rand::{RngExt, distr::Alphanumeric};

use super::{
    reached::{Door, Doors},
    variables::Variables,
};
use crate::{
    api::{
        DockerService,
        docker_host::{Catalogue, DockerHostSpec},
        docker_service::Filebrowser,
    },
    controller::{
        secret,
        unresolved::{Unresolved, stall, wait},
    },
    docker::catalogue::{self, Composed, Credential, CredentialForm, Endpoint, OwnCredential, Request},
};

/// What the catalogue makes of a service's types.
pub struct Catalogued {
    /// The compose file.
    pub text: String,
    /// What people are to reach.
    pub doors: Doors,
    /// All types, the primary one first.
    pub types: Vec<String>,
    /// Secrets with generated passwords.
    pub credentials: Vec<String>,
}

/// Has the catalogue make a compose file of a service's types, and sees to it that its passwords are there.
///
/// # Errors
/// Why there is none.
pub async fn compose(
    service: &DockerService,
    host: &DockerHostSpec,
    url: Option<&str>,
    secrets: &Api<Secret>,
    variables: &mut Variables,
) -> Result<Catalogued, Unresolved> {
    let composed = composed(service, host, url)?;
    let filebrowser_spec = service.spec.filebrowser.as_ref();
    let Composed { compose: text, credentials, primary: _, types, main, filebrowser } = composed;
    let mut made = Vec::new();
    for Credential { variable, form: _, own } in &credentials {
        if let (Some(own), Some(given)) = (own, variables.all.get(variable)) {
            check_own(given, own, &format!("spec.env or spec.envFrom: {variable}"))?;
        }
    }
    for (secret, wanted) in by_secret(service, &credentials) {
        let wanted: Vec<&Credential> =
            wanted.into_iter().filter(|it| !variables.all.contains_key(&it.variable)).collect();
        if wanted.is_empty() {
            continue;
        }
        if let ([Credential { variable, own: Some(own), .. }], Some(given)) =
            (&wanted[..], own_password(filebrowser_spec))
        {
            let field = "spec.filebrowser.passwordSecretRef";
            let (password, _) = secret::read_key(secrets, given, field).await??;
            check_own(&password, own, field)?;
            variables.insert_secret(variable, password);
            continue;
        }
        for (variable, value) in generated(service, secrets, &secret, &wanted).await? {
            variables.insert_secret(&variable, value);
        }
        made.push(secret);
    }
    let door = |endpoint: Endpoint| Door { service: endpoint.service, port: endpoint.port };
    let doors = Doors { main: main.map(door), filebrowser: filebrowser.map(door) };
    Ok(Catalogued { text, doors, types, credentials: made })
}

fn composed(service: &DockerService, host: &DockerHostSpec, url: Option<&str>) -> Result<Composed, Unresolved> {
    let spec = &service.spec;
    let request = Request {
        types: &spec.types,
        with_source: spec.source.is_some(),
        filebrowser: spec.filebrowser.is_some(),
        image: &|key| image(host.catalogue.as_ref(), key),
        url,
    };
    catalogue::compose(&request).map_err(|error| stall("InvalidTypes", format!("spec.types: {error}")))
}

fn own_password(filebrowser: Option<&Filebrowser>) -> Option<&crate::api::common::SecretKeyRef> {
    filebrowser?.password_secret_ref.as_ref()
}

fn check_own(password: &str, own: &OwnCredential, field: &str) -> Result<(), Unresolved> {
    if password.chars().count() < own.least {
        let message = format!(
            "{field}: the password of Filebrowser must have at least {} characters; give a longer one",
            own.least
        );
        return Err(wait("InvalidSecret", message));
    }
    Ok(())
}

/// The host's image in place of one of the catalogue's.
fn image(catalogue: Option<&Catalogue>, key: &str) -> Option<String> {
    let Catalogue { mirror, images } = catalogue?;
    if let Some(image) = images.get(key) {
        return Some(image.clone());
    }
    let mirror = mirror.as_ref()?.trim_end_matches('/');
    let usual = catalogue::image(key)?;
    let repository = if usual.contains('/') { usual.to_owned() } else { format!("library/{usual}") };
    Some(format!("{mirror}/{repository}"))
}

/// Credentials by the Secret that they are in: one for each type, so that none is ever changed.
fn by_secret<'a>(service: &DockerService, credentials: &'a [Credential]) -> Vec<(String, Vec<&'a Credential>)> {
    let mut all: Vec<(String, Vec<&Credential>)> = Vec::new();
    for credential in credentials {
        let (kind, _) = credential.variable.split_once('_').unwrap_or((&credential.variable, ""));
        let name = format!("{}-{}", service.name_any(), kind.to_lowercase());
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some((_, members)) => members.push(credential),
            None => all.push((name, vec![credential])),
        }
    }
    all
}

/// What a Secret with generated passwords holds, which is made if it was never there.
async fn generated(
    service: &DockerService,
    secrets: &Api<Secret>,
    name: &str,
    wanted: &[&Credential],
) -> Result<Vec<(String, String)>, Unresolved> {
    let found = match secrets.get_opt(name).await {
        // An administrator may have narrowed the operator's rights to some namespaces.
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            return Err(wait("DependencyForbidden", format!("{}; waiting until that is granted", status.message)));
        }
        found => found?,
    };
    let known = service.status.as_ref().is_some_and(|status| status.credentials.iter().any(|known| known == name));
    let secret = match found {
        Some(found) => found,
        None if known => {
            let keys: Vec<_> = wanted.iter().map(|credential| credential.variable.as_str()).collect();
            return Err(stall(
                "CredentialsLost",
                format!(
                    "the Secret {name} is gone, with the passwords that this service began with; what runs goes on. Make it again \
                     with the same ones ({}), or give up the data: delete the service with deletionPolicy DeleteVolumes, \
                     and apply it anew",
                    keys.join(", ")
                ),
            ));
        }
        None => make(service, secrets, name, wanted).await?,
    };
    wanted
        .iter()
        .map(|credential| {
            let value = secret::value(&secret, &credential.variable, &format!("Secret {name}"))?;
            Ok((credential.variable.clone(), value))
        })
        .collect()
}

async fn make(
    service: &DockerService,
    secrets: &Api<Secret>,
    name: &str,
    wanted: &[&Credential],
) -> Result<Secret, Unresolved> {
    let data = wanted.iter().map(|it| (it.variable.clone(), ByteString(generate(it.form).into_bytes())));
    let secret = secret::of_service(service, name, data);
    match secrets.create(&PostParams::default(), &secret).await {
        Ok(made) => Ok(made),
        Err(kube::Error::Api(status)) if status.is_forbidden() => {
            Err(wait("DependencyForbidden", format!("{}; waiting until that is granted", status.message)))
        }
        Err(error) => Err(error.into()),
    }
}

fn generate(form: CredentialForm) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let mut random = rand::rng();
    match form {
        CredentialForm::Letters { length } => {
            (&mut random).sample_iter(Alphanumeric).take(length).map(char::from).collect()
        }
        CredentialForm::Base64Key { bytes } => {
            let mut key = vec![0; bytes];
            random.fill(&mut key[..]);
            format!("base64:{}", STANDARD.encode(key))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_generated_has_its_form_and_is_never_the_same() {
        let letters = generate(CredentialForm::Letters { length: 32 });
        assert!(letters.len() == 32 && letters.chars().all(|letter| letter.is_ascii_alphanumeric()), "{letters}");
        assert_ne!(letters, generate(CredentialForm::Letters { length: 32 }));
        let key = generate(CredentialForm::Base64Key { bytes: 32 });
        assert!(key.starts_with("base64:") && key.len() == 7 + 44, "{key}");
    }

    #[test]
    fn images_come_from_where_the_host_says() {
        let catalogue = |mirror: Option<&str>| Catalogue {
            mirror: mirror.map(str::to_owned),
            images: [("mysql".to_owned(), "registry.example.com/mysql:8".to_owned())].into(),
        };
        assert_eq!(image(None, "nginx"), None);
        assert_eq!(image(Some(&catalogue(None)), "nginx"), None);
        assert_eq!(image(Some(&catalogue(None)), "mysql").unwrap(), "registry.example.com/mysql:8");
        let mirrored = image(Some(&catalogue(Some("hub.example.com/mirror/"))), "nginx").unwrap();
        assert!(mirrored.starts_with("hub.example.com/mirror/library/nginx:"), "{mirrored}");
        let mirrored = image(Some(&catalogue(Some("hub.example.com"))), "filebrowser").unwrap();
        assert!(mirrored.starts_with("hub.example.com/filebrowser/filebrowser:"), "{mirrored}");
    }
}
