//! How people reach what runs: by the labels of a proxy, or by ports.

use serde_json::{Map, Value, json};

use super::select::shortened;
use super::{Endpoint, Error, INGRESS};

/// How people reach the main service and Filebrowser. Nothing else is exposed.
#[derive(Clone, Copy, Debug)]
pub enum Exposure<'a> {
    /// Traefik serves them.
    Traefik {
        /// The network on which it reaches them.
        network: Network<'a>,
        /// Who issues the certificates. Without one the entry point decides about TLS.
        resolver: Option<&'a str>,
        /// The entry point that people come in by, as in `websecure`.
        entry_point: &'a str,
        /// The main service's name.
        main_host: &'a str,
        /// Filebrowser's name.
        filebrowser_host: &'a str,
        /// A name that no other router of this Traefik has: the project's. Filebrowser's has `-filebrowser` after it.
        router: &'a str,
    },
    /// Caddy serves them, with the labels of caddy-docker-proxy.
    Caddy {
        /// The network on which it reaches them.
        network: Network<'a>,
        /// The main service's name.
        main_host: &'a str,
        /// Filebrowser's name.
        filebrowser_host: &'a str,
    },
    /// They are published on ports of the host that the engine chooses.
    Ports,
}

/// The network that has the key [`INGRESS`] in the compose file.
#[derive(Clone, Copy, Debug)]
pub struct Network<'a> {
    /// Its name on the host.
    pub name: &'a str,
    /// Whether it is not the project's own, but has been made before.
    pub external: bool,
}

/// What is exposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Main,
    Filebrowser,
}

impl Exposure<'_> {
    /// Refuses names that would mean something else in a label.
    pub(super) fn check(&self) -> Result<(), Error> {
        match self {
            Self::Traefik { network: _, resolver, entry_point, main_host, filebrowser_host, router } => {
                name("host", main_host, true)?;
                name("host", filebrowser_host, true)?;
                name("router", router, false)?;
                name("entry point", entry_point, false)?;
                resolver.map_or(Ok(()), |resolver| name("certificate resolver", resolver, false))
            }
            Self::Caddy { network: _, main_host, filebrowser_host } => {
                name("host", main_host, true)?;
                name("host", filebrowser_host, true)
            }
            Self::Ports => Ok(()),
        }
    }

    /// The main service's URL, if it is known before it runs.
    pub(super) fn url(&self) -> Option<String> {
        match self {
            Self::Traefik { main_host, resolver, .. } => {
                Some(format!("{}://{main_host}", if resolver.is_some() { "https" } else { "http" }))
            }
            Self::Caddy { main_host, .. } => Some(format!("https://{main_host}")),
            Self::Ports => None,
        }
    }

    /// The network that the file has to declare.
    pub(super) fn network(&self) -> Option<Network<'_>> {
        match self {
            Self::Traefik { network, .. } | Self::Caddy { network, .. } => Some(*network),
            Self::Ports => None,
        }
    }

    /// The attributes of a service that people reach.
    pub(super) fn attributes(&self, endpoint: &Endpoint, place: Place) -> Map<String, Value> {
        let Endpoint { service: _, port } = endpoint;
        let host = |main: &str, filebrowser: &str| match place {
            Place::Main => main.to_owned(),
            Place::Filebrowser => filebrowser.to_owned(),
        };
        let mut labels: Vec<(String, String)> = Vec::new();
        match self {
            Self::Traefik { network, resolver, entry_point, main_host, filebrowser_host, router } => {
                let router = host(router, &format!("{router}-filebrowser"));
                let route = format!("traefik.http.routers.{router}");
                labels.push(("traefik.enable".to_owned(), "true".to_owned()));
                labels.push(("traefik.docker.network".to_owned(), network.name.to_owned()));
                labels.push((format!("{route}.rule"), format!("Host(`{}`)", host(main_host, filebrowser_host))));
                labels.push((format!("{route}.entrypoints"), (*entry_point).to_owned()));
                labels.push((format!("{route}.service"), router.clone()));
                if let Some(resolver) = resolver {
                    labels.push((format!("{route}.tls"), "true".to_owned()));
                    labels.push((format!("{route}.tls.certresolver"), (*resolver).to_owned()));
                }
                let server = format!("traefik.http.services.{router}.loadbalancer.server.port");
                labels.push((server, port.to_string()));
            }
            Self::Caddy { network, main_host, filebrowser_host } => {
                labels.push(("caddy".to_owned(), host(main_host, filebrowser_host)));
                labels.push(("caddy.reverse_proxy".to_owned(), format!("{{{{upstreams {port}}}}}")));
                labels.push(("caddy_ingress_network".to_owned(), network.name.to_owned()));
            }
            // The host's port is the engine's choice.
            Self::Ports => return object(json!({ "ports": [port.to_string()] })),
        }
        let labels: Map<String, Value> =
            labels.into_iter().map(|(key, value)| (key, Value::String(value.replace('$', "$$")))).collect();
        object(json!({ "networks": ["default", INGRESS], "labels": labels }))
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Labels are read by rules of their own, in which other characters mean something.
fn name(what: &'static str, value: &str, dots: bool) -> Result<(), Error> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_') || (dots && letter == '.');
    match !value.is_empty() && value.len() <= 253 && value.chars().all(fits) {
        true => Ok(()),
        false => Err(Error::Route { what, value: shortened(value) }),
    }
}
