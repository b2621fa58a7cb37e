//! How people reach a service by its name: through the host's proxy, which reads labels and meets the project on a network of
//! the project's own, on which no other project is.

use std::collections::BTreeMap;

use super::{
    compose::model::{At, Network, NetworkAttachment, Port, PortMode, Project, Protocol, PublishedPorts},
    identity,
};

/// The key of the network on which the proxy meets a project.
const INGRESS: &str = "ingress";

/// A proxy of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Whose labels it reads.
    pub flavour: Flavour,
    /// The name of its container, which is connected to each project's network; a proxy that is a process of the host needs none.
    pub container: Option<String>,
    /// Whether it speaks TLS to people.
    pub tls: bool,
}

/// Whose labels a proxy reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Traefik: <https://doc.traefik.io/traefik/reference/routing-configuration/other-providers/docker/>.
    Traefik {
        /// The entry point.
        entry_point: String,
        /// The certificate resolver; Traefik's own default without.
        resolver: Option<String>,
    },
    /// Caddy with its Docker proxy: <https://github.com/lucaslorentz/caddy-docker-proxy>.
    Caddy,
}

/// What is reached by a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The service.
    pub service: String,
    /// The port on which it listens.
    pub port: u16,
    /// The host name.
    pub host: String,
}

/// Why a service cannot be reached by a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unexposable {
    /// The project has no such service.
    #[error("there is no service {0:?} in the compose file")]
    Unknown(String),
    /// The project has a network of that key.
    #[error(
        "the compose file has a network of its own with the key {INGRESS:?}, under which the proxy meets it: rename that"
    )]
    Taken,
    /// It has no network of its own.
    #[error("the service {0:?} shares the network of something else (network_mode), on which the proxy cannot meet it")]
    Shared(String),
}

/// Has the proxy lead names to services of a project.
///
/// # Errors
/// What of it cannot be reached.
pub fn expose(project: &mut Project, endpoints: &[Endpoint], proxy: &Proxy) -> Result<(), Unexposable> {
    if endpoints.is_empty() {
        return Ok(());
    }
    if project.networks.contains_key(INGRESS) {
        return Err(Unexposable::Taken);
    }
    let name = format!("{}_{INGRESS}", project.name);
    for Endpoint { service, port, host } in endpoints {
        let router = format!("{}-{service}", project.name);
        let Some(exposed) = project.services.get_mut(service) else {
            return Err(Unexposable::Unknown(service.clone()));
        };
        if exposed.network_mode.is_some() {
            return Err(Unexposable::Shared(service.clone()));
        }
        exposed.networks.insert(INGRESS.to_owned(), NetworkAttachment::default());
        exposed.labels.extend(proxy.labels(&router, &name, host, *port));
    }
    let labels = [(identity::PROXY.to_owned(), proxy.container.clone().unwrap_or_default())].into();
    project.networks.insert(INGRESS.to_owned(), Network { name, labels, ..Network::default() });
    Ok(())
}

/// Publishes services of a project on ports of the host.
///
/// # Errors
/// What of it cannot be reached.
pub fn publish(project: &mut Project, doors: &[(String, u16, u16)]) -> Result<(), Unexposable> {
    for (service, target, published) in doors {
        let Some(exposed) = project.services.get_mut(service) else {
            return Err(Unexposable::Unknown(service.clone()));
        };
        if exposed.network_mode.is_some() {
            return Err(Unexposable::Shared(service.clone()));
        }
        exposed.ports.push(Port {
            at: At::default(),
            name: None,
            target: *target,
            published: Some(PublishedPorts { first: *published, last: *published }),
            host_ip: None,
            protocol: Protocol::Tcp,
            app_protocol: None,
            mode: PortMode::default(),
        });
    }
    Ok(())
}

impl Proxy {
    /// Where people find a host name.
    pub fn url(&self, host: &str) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{host}")
    }

    fn labels(&self, router: &str, network: &str, host: &str, port: u16) -> BTreeMap<String, String> {
        let labels = match &self.flavour {
            Flavour::Traefik { entry_point, resolver } => {
                let of_router = |what: &str| format!("traefik.http.routers.{router}.{what}");
                let mut labels = vec![
                    ("traefik.enable".to_owned(), "true".to_owned()),
                    ("traefik.docker.network".to_owned(), network.to_owned()),
                    (of_router("rule"), format!("Host(`{host}`)")),
                    (of_router("entrypoints"), entry_point.clone()),
                    (of_router("service"), router.to_owned()),
                    (format!("traefik.http.services.{router}.loadbalancer.server.port"), port.to_string()),
                ];
                if self.tls {
                    labels.push((of_router("tls"), "true".to_owned()));
                    labels.extend(resolver.iter().map(|resolver| (of_router("tls.certresolver"), resolver.clone())));
                }
                labels
            }
            Flavour::Caddy => vec![
                ("caddy".to_owned(), self.url(host)),
                ("caddy.reverse_proxy".to_owned(), format!("{{{{upstreams {port}}}}}")),
                ("caddy_ingress_network".to_owned(), network.to_owned()),
            ],
        };
        labels.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::compose;

    fn project(text: &str) -> Project {
        let sources = compose::Sources::inline("compose.yaml", text);
        let (files, variables) = (["compose.yaml".to_owned()], BTreeMap::new());
        let request =
            compose::Request { sources: &sources, files: &files, variables: &variables, profiles: &[], name: "p" };
        compose::load(request).unwrap_or_else(|problems| panic!("{problems}")).project
    }

    fn endpoint(service: &str) -> Endpoint {
        Endpoint { service: service.to_owned(), port: 8080, host: "shop.example.com".to_owned() }
    }

    fn traefik() -> Proxy {
        let flavour = Flavour::Traefik { entry_point: "websecure".into(), resolver: Some("letsencrypt".into()) };
        Proxy { flavour, container: Some("traefik".into()), tls: true }
    }

    #[test]
    fn a_proxy_is_told_by_labels_and_meets_only_what_is_exposed() {
        let caddy = Proxy { flavour: Flavour::Caddy, container: None, tls: false };
        for (proxy, expected, url) in [
            (
                traefik(),
                vec![
                    "traefik.docker.network=p_ingress",
                    "traefik.enable=true",
                    "traefik.http.routers.p-web.entrypoints=websecure",
                    "traefik.http.routers.p-web.rule=Host(`shop.example.com`)",
                    "traefik.http.routers.p-web.service=p-web",
                    "traefik.http.routers.p-web.tls=true",
                    "traefik.http.routers.p-web.tls.certresolver=letsencrypt",
                    "traefik.http.services.p-web.loadbalancer.server.port=8080",
                ],
                "https://shop.example.com",
            ),
            (
                caddy,
                vec![
                    "caddy=http://shop.example.com",
                    "caddy.reverse_proxy={{upstreams 8080}}",
                    "caddy_ingress_network=p_ingress",
                ],
                "http://shop.example.com",
            ),
        ] {
            let mut project = project("services: {web: {image: nginx}, db: {image: mysql}}");
            expose(&mut project, &[endpoint("web")], &proxy).unwrap();
            let labels = &project.services["web"].labels;
            let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            assert_eq!(labels, expected);
            assert_eq!(proxy.url("shop.example.com"), url);
            let keys = |service: &str| project.services[service].networks.keys().cloned().collect::<Vec<_>>();
            assert_eq!((keys("web"), keys("db")), (vec!["default".into(), "ingress".into()], vec!["default".into()]));
            assert_eq!(project.networks["ingress"].labels[identity::PROXY], proxy.container.unwrap_or_default());
        }
    }

    #[test]
    fn what_cannot_be_met_is_refused() {
        let mut project = project("services: {web: {image: nginx}, side: {image: nginx, network_mode: 'service:web'}}");
        assert_eq!(expose(&mut project, &[endpoint("other")], &traefik()), Err(Unexposable::Unknown("other".into())));
        assert_eq!(expose(&mut project, &[endpoint("side")], &traefik()), Err(Unexposable::Shared("side".into())));
        expose(&mut project, &[], &traefik()).unwrap();
        assert!(!project.networks.contains_key("ingress"));
        let mut project =
            self::project("services: {web: {image: nginx, networks: [ingress]}}\nnetworks: {ingress: {}}");
        assert_eq!(expose(&mut project, &[endpoint("web")], &traefik()), Err(Unexposable::Taken));
    }
}
