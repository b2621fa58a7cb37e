//! The objects that a request for a service becomes.

use std::collections::BTreeSet;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Resource, ResourceExt, api::ObjectMeta};
use secrecy::ExposeSecret;
use serde_json::json;
use uuid::Uuid;

use super::request::{self, Files, Wanted};
use crate::{
    api::{
        self, DockerHost, DockerService,
        common::{NameRef, SecretKeyRef},
        docker_service::{DeletionPolicy, DockerServiceSpec},
    },
    rest::{
        attempt::{Asked, Attempt},
        names,
    },
};

/// The service's name, as the client wrote it.
pub const SERVICE_NAME: &str = "cloudfaster.app/service-name";
/// The key of the Secret with Filebrowser's password.
const PASSWORD: &str = "password";
/// The longest user's id that the spec shows.
const USER_ID: usize = 63;

/// An attempt to make this service on a host.
///
/// # Errors
/// Never, but for a defect.
pub fn attempt(
    wanted: &Wanted,
    host: &DockerHost,
    key: Option<&str>,
) -> Result<Attempt<DockerService>, serde_json::Error> {
    let Wanted { userid, name, types, files, filebrowser, password } = wanted;
    let object = names::service(userid, name);
    // One of its own for each attempt: that of a service of the same name may be about to go with it.
    let secret = password.as_ref().map(|_| SecretKeyRef {
        name: format!("{object}-admin-{}", Uuid::new_v4().simple()),
        key: PASSWORD.to_owned(),
    });
    let source = files.as_ref().map(|files| match files {
        Files::Git(url) => json!({"git": {"url": url}}),
        Files::Archive(sha256) => json!({"archive": {"artifact": sha256}}),
    });
    let shown = Some(userid.clone()).filter(|userid| userid.chars().count() <= USER_ID);
    // Everything else is as it is for those who write manifests and leave it out.
    let spec = serde_json::from_value(json!({
        "hostRef": NameRef { name: host.name_any() },
        "types": types,
        "filebrowser": filebrowser.then(|| json!({"passwordSecretRef": secret})),
        "source": source,
        // A host without a proxy leads no name anywhere.
        "hostname": host.spec.proxy.as_ref().and_then(|_| names::host(name)),
        "deletionPolicy": DeletionPolicy::DeleteVolumes,
        "userId": shown.unwrap_or_else(|| names::user(userid)),
    }))?;
    let mut service = DockerService::new(&object, spec);
    service.metadata.annotations = Some([(SERVICE_NAME.to_owned(), name.clone())].into());
    Ok(Attempt::new(service, Asked { userid, hash: &wanted.hash(), key }))
}

/// The Secret with Filebrowser's password, if the service names one. It goes with the service.
pub fn password(service: &DockerService, wanted: &Wanted) -> Option<Secret> {
    let SecretKeyRef { name, key } = service.spec.filebrowser.as_ref()?.password_secret_ref.as_ref()?;
    let password = wanted.password.as_ref()?.expose_secret().as_bytes().to_vec();
    let user = service.labels().get(api::USER).map(|user| (api::USER.to_owned(), user.clone()));
    Some(Secret {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            owner_references: service.owner_ref(&()).map(|owner| vec![owner]),
            labels: Some(user.into_iter().collect()),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        data: Some([(key.clone(), ByteString(password))].into()),
        ..Secret::default()
    })
}

/// The host names at which people reach a service: databases alone have none.
pub fn reached_at(service: &DockerService, domain: &str) -> BTreeSet<String> {
    let DockerServiceSpec { types, source, filebrowser, .. } = &service.spec;
    let composed = request::compose(types, source.is_some(), filebrowser.is_some()).ok();
    let doors =
        composed.map_or([true, filebrowser.is_some()], |made| [made.main.is_some(), made.filebrowser.is_some()]);
    let names = service.host_names(domain).into_iter().zip(doors);
    names.filter(|(_, is_there)| *is_there).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(proxy: serde_json::Value) -> DockerHost {
        let spec = json!({"endpoint": "unix:///var/run/docker.sock", "proxy": proxy});
        DockerHost::new("main", serde_json::from_value(spec).unwrap())
    }

    fn wanted() -> Wanted {
        Wanted {
            userid: "7".into(),
            name: "My Shop".into(),
            types: vec!["PHP".into()],
            files: Some(Files::Archive("ab".into())),
            filebrowser: true,
            password: Some("a long password".into()),
        }
    }

    #[test]
    fn a_service_is_as_it_was_asked_for_and_its_password_is_elsewhere() {
        let host = host(json!({"kind": "Caddy", "domain": "example.com"}));
        let mut service = attempt(&wanted(), &host, None).unwrap().object;
        service.metadata.uid = Some("u".into());
        assert_eq!(service.spec.hostname.as_deref(), Some("my-shop"));
        assert_eq!(service.spec.deletion_policy, DeletionPolicy::DeleteVolumes);
        assert_eq!(service.spec.user_id.as_deref(), Some("7"));
        assert_eq!(service.annotations()[SERVICE_NAME], "My Shop");
        assert!(!serde_json::to_string(&service).unwrap().contains("a long password"));
        let secret = password(&service, &wanted()).unwrap();
        let owner = &secret.metadata.owner_references.as_ref().unwrap()[0];
        assert_eq!((owner.uid.as_str(), owner.kind.as_str(), owner.block_owner_deletion), ("u", "DockerService", None));
        assert_eq!(secret.data.unwrap()[PASSWORD].0, b"a long password");
        assert!(secret.metadata.name.unwrap().len() <= 253);
    }

    #[test]
    fn a_service_is_reached_at_its_name_and_its_filebrowsers_and_databases_are_not() {
        let names = |types: &[&str], filebrowser: bool, name: Option<&str>| {
            let mut service = attempt(&wanted(), &host(json!(null)), None).unwrap().object;
            service.spec.types = types.iter().map(|&name| name.to_owned()).collect();
            service.spec.filebrowser = service.spec.filebrowser.filter(|_| filebrowser);
            service.spec.source = None;
            service.spec.hostname = name.map(str::to_owned);
            reached_at(&service, "example.com").into_iter().collect::<Vec<_>>()
        };
        let both = ["shop-filebrowser.example.com", "shop.example.com"];
        assert_eq!(names(&["PHP", "MySQL"], true, Some("shop")), both);
        assert_eq!(names(&["PHP"], false, Some("shop")), ["shop.example.com"]);
        assert_eq!(names(&["MySQL"], false, Some("shop")), [""; 0]);
        let elsewhere = ["www-filebrowser.shop.org", "www.shop.org"];
        assert_eq!(names(&["PHP"], true, Some("www.shop.org")), elsewhere);
        // Of a compose file it is not known here.
        assert_eq!(names(&[], false, Some("shop")), ["shop.example.com"]);
    }

    #[test]
    fn without_a_proxy_a_service_has_no_name_and_without_a_password_no_secret() {
        let wanted = Wanted { password: None, ..wanted() };
        let service = attempt(&wanted, &host(json!(null)), None).unwrap().object;
        assert_eq!(service.spec.hostname, None);
        assert!(service.spec.filebrowser.is_some() && password(&service, &wanted).is_none());
        let databases = Wanted { filebrowser: false, ..wanted };
        assert!(attempt(&databases, &host(json!(null)), None).unwrap().object.spec.filebrowser.is_none());
    }
}
