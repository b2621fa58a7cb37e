//! What the tests are made of: a project of a database, a migration that runs once, a web server, and a sidecar.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::docker::{
    compose::model::{Condition, Dependency, Restart},
    desired::*,
    identity::{self, Owner},
};

pub fn owner() -> Owner {
    Owner {
        installation: "prod".into(),
        namespace: "shop".into(),
        name: "web".into(),
        uid: "u1".into(),
        formerly: BTreeSet::new(),
    }
}

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + seconds).unwrap()
}

pub fn depend(condition: Condition) -> Dependency {
    Dependency { at: Default::default(), condition, restart: false, required: true }
}

/// A service that runs until it is stopped.
pub fn server(image: &str) -> Service {
    Service {
        replicas: 1,
        container_name: None,
        image: image.into(),
        fetch: Fetch::Missing,
        config: identity::hash([image]),
        networks: ["default".to_owned()].into(),
        volumes: BTreeSet::new(),
        lives_in: BTreeSet::new(),
        mounts_of: BTreeSet::new(),
        depends_on: BTreeMap::new(),
        restart: Restart::UnlessStopped,
        post_start: false,
    }
}

/// `db` is checked for its health, `migrate` runs once, `web` needs both, and `logs` lives in its network.
pub fn deployment() -> Deployment {
    let db = Service { volumes: ["data".to_owned()].into(), ..server("db:1") };
    let migrate = Service {
        restart: Restart::No,
        depends_on: [("db".to_owned(), depend(Condition::ServiceHealthy))].into(),
        ..server("app:1")
    };
    let web = Service {
        depends_on: [
            ("db".to_owned(), depend(Condition::ServiceHealthy)),
            ("migrate".to_owned(), depend(Condition::ServiceCompletedSuccessfully)),
        ]
        .into(),
        ..server("web:1")
    };
    let logs = Service {
        networks: BTreeSet::new(),
        lives_in: ["web".to_owned()].into(),
        depends_on: [("web".to_owned(), depend(Condition::ServiceStarted))].into(),
        ..server("logs:1")
    };
    let services = [("db", db), ("logs", logs), ("migrate", migrate), ("web", web)];
    Deployment {
        project: "p".into(),
        release: "r1".into(),
        state: State::Running,
        restart: None,
        health_deadline: SignedDuration::from_secs(60),
        rollback: true,
        returning: false,
        services: services.map(|(name, service)| (name.to_owned(), service)).into(),
        networks: [(
            "default".to_owned(),
            Network { name: "p_default".into(), external: false, config: "n1".into(), proxy: None },
        )]
        .into(),
        volumes: [(
            "data".to_owned(),
            Volume { name: "p_data".into(), external: false, config: "v1".into(), content: false },
        )]
        .into(),
    }
}

/// A project of one web server.
pub fn only_web() -> Deployment {
    let web = server("web:1");
    Deployment { services: [("web".to_owned(), web)].into(), volumes: BTreeMap::new(), ..deployment() }
}

/// The project with content of this version delivered to `web`.
pub fn with_content(mut deployment: Deployment, version: u32) -> Deployment {
    deliver(&mut deployment, version);
    deployment
}

/// Another version of the content that is delivered to `web`.
pub fn deliver(deployment: &mut Deployment, version: u32) {
    let name = format!("p_site-{version}");
    let config = identity::hash(["site", &name]);
    deployment.volumes.insert("site".into(), Volume { name, external: false, config: config.clone(), content: true });
    if let Some(web) = deployment.services.get_mut("web") {
        web.volumes.insert("site".into());
        web.config = identity::hash([&web.image, &config].map(String::as_str));
    }
}

/// The project with a network on which the host's proxy meets `web`.
pub fn with_proxy(mut deployment: Deployment) -> Deployment {
    let proxy = Some("edge".into());
    let network = Network { name: "p_ingress".into(), external: false, config: "i1".into(), proxy };
    deployment.networks.insert("ingress".into(), network);
    if let Some(web) = deployment.services.get_mut("web") {
        web.networks.insert("ingress".into());
    }
    deployment
}
