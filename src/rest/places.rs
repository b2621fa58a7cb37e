//! In which namespace a user's things are.

use std::collections::BTreeMap;

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        core::v1::Namespace,
        rbac::v1::{RoleBinding, RoleRef, Subject},
    },
};
use kube::{
    Api, Client, Resource,
    api::{ObjectMeta, PostParams},
};

use super::{Shim, names, problem::Problem, settings::Settings};
use crate::api;

/// The label of the namespaces of what the shim makes; a ProxmoxCluster admits them by it.
pub const LABEL: &str = "cloudfaster.app/rest";
/// How the name of a user's own namespace begins.
const PREFIX: &str = "cloudfaster-user-";
/// What the shim may do in a user's own namespace: manifests/components/rest-namespace-per-user has the role.
const ROLE: &str = "cloudfaster-rest-user";
/// The account of the shim.
const ACCOUNT: &str = "cloudfaster-rest";

/// Where things are.
#[derive(Clone, Debug)]
pub enum Places {
    /// All in one namespace.
    Shared(String),
    /// Each user's in a namespace of its own; the shim's account is in this one.
    PerUser(String),
}

impl Places {
    /// By the settings.
    pub fn new(settings: &Settings) -> Self {
        if settings.rest_namespace_per_user {
            Self::PerUser(settings.rest_namespace.clone())
        } else {
            Self::Shared(settings.rest_users_namespace.clone())
        }
    }

    /// Where objects of a kind are watched.
    pub fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        match self {
            Self::Shared(namespace) => Api::namespaced(client.clone(), namespace),
            Self::PerUser(_) => Api::all(client.clone()),
        }
    }

    /// The namespace of a user's things; it is made if it has to be.
    ///
    /// # Errors
    /// When it is missing and cannot be made.
    pub async fn namespace(&self, shim: &Shim, userid: &str) -> Result<String, Problem> {
        let account = match self {
            Self::Shared(namespace) => return Ok(namespace.clone()),
            Self::PerUser(account) => account,
        };
        let user = names::user(userid);
        let name = format!("{PREFIX}{user}");
        let labels = BTreeMap::from([(LABEL.to_owned(), "true".to_owned()), (api::USER.to_owned(), user)]);
        let annotations = BTreeMap::from([(super::attempt::USERID.to_owned(), userid.to_owned())]);
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                labels: Some(labels),
                annotations: Some(annotations),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let made =
            shim.ask(Api::<Namespace>::all(shim.client.clone()).create(&PostParams::default(), &namespace)).await;
        made_or_there(made)?;
        let binding = RoleBinding {
            metadata: ObjectMeta { name: Some(ROLE.to_owned()), ..ObjectMeta::default() },
            role_ref: RoleRef {
                api_group: "rbac.authorization.k8s.io".to_owned(),
                kind: "ClusterRole".to_owned(),
                name: ROLE.to_owned(),
            },
            subjects: Some(vec![Subject {
                kind: "ServiceAccount".to_owned(),
                name: ACCOUNT.to_owned(),
                namespace: Some(account.clone()),
                ..Subject::default()
            }]),
        };
        let bindings = Api::<RoleBinding>::namespaced(shim.client.clone(), &name);
        match made_or_there(shim.ask(bindings.create(&PostParams::default(), &binding)).await) {
            // The embedded control plane knows no roles.
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            made => made?,
        }
        Ok(name)
    }
}

fn made_or_there<T>(made: Result<T, kube::Error>) -> Result<(), kube::Error> {
    match made {
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        made => made.map(drop),
    }
}
