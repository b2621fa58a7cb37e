//! By which names people reach a service, through its host's proxy.

use std::collections::BTreeSet;

use kube::ResourceExt;

use crate::{
    api::{
        DockerService,
        docker_host::{self, DockerHostSpec, PortRange, ProxyKind},
        docker_service::{Expose, FILEBROWSER, ServiceUrls},
        docker_tenant::DockerTenant,
    },
    controller::{
        Shared,
        unresolved::{Unresolved, stall, wait},
    },
    docker::{
        compose::model::Project,
        exposure::{self, Endpoint, Flavour, Proxy},
    },
};

/// The longest part of a host name between two dots.
const LONGEST_LABEL: usize = 63;

/// A service of the compose file and the port on which it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// The service.
    pub service: String,
    /// The port.
    pub port: u16,
}

/// What of a service people are to reach.
#[derive(Clone, Debug, Default)]
pub struct Doors {
    /// The service itself.
    pub main: Option<Door>,
    /// Its Filebrowser.
    pub filebrowser: Option<Door>,
}

impl Doors {
    /// What a compose file exposes.
    pub fn of(expose: Option<&Expose>) -> Self {
        let main = expose.and_then(|Expose { service, port }| {
            Some(Door { service: service.clone(), port: u16::try_from(*port).ok()? })
        });
        Self { main, filebrowser: None }
    }

    fn none(&self) -> bool {
        self.main.is_none() && self.filebrowser.is_none()
    }
}

/// The URL of a service, if the host has a proxy.
///
/// # Errors
/// A name that it may not have.
pub fn main_url(
    service: &DockerService,
    proxy: Option<&docker_host::Proxy>,
    tenant: &DockerTenant,
) -> Result<Option<String>, Unresolved> {
    let Some(spec) = proxy else { return Ok(None) };
    Ok(Some(of_spec(spec).url(&Hosts::of(service, spec, tenant)?.main)))
}

/// Has people reach what they are to reach: by name through the host's proxy, or at ports of the host. By which URLs.
///
/// # Errors
/// Why it cannot be reached.
pub fn reach(
    shared: &Shared,
    service: &DockerService,
    host: &DockerHostSpec,
    tenant: &DockerTenant,
    doors: Doors,
    project: &mut Project,
) -> Result<Option<ServiceUrls>, Unresolved> {
    if doors.none() {
        shared.berths.unclaim(&service.uid().unwrap_or_default());
        return Ok(None);
    }
    match (&host.proxy, host.service_ports, &host.public_address) {
        (Some(proxy), _, _) => by_name(shared, service, proxy, tenant, doors, project).map(Some),
        (None, Some(range), Some(address)) => at_ports(shared, service, range, address, doors, project).map(Some),
        (None, _, _) => {
            shared.berths.unclaim(&service.uid().unwrap_or_default());
            if service.spec.hostname.is_none() && service.spec.expose.is_none() {
                return Ok(None);
            }
            let message = "spec.hostname, spec.expose: the DockerHost has neither a proxy nor ports for services; publish a port, \
                           or have its administrator set spec.proxy or spec.servicePorts";
            Err(stall("NoProxy", message))
        }
    }
}

fn by_name(
    shared: &Shared,
    service: &DockerService,
    spec: &docker_host::Proxy,
    tenant: &DockerTenant,
    doors: Doors,
    project: &mut Project,
) -> Result<ServiceUrls, Unresolved> {
    let hosts = Hosts::of(service, spec, tenant)?;
    let wanted = [doors.main.as_ref().map(|_| &hosts.main), doors.filebrowser.as_ref().map(|_| &hosts.filebrowser)];
    let names: BTreeSet<String> = wanted.into_iter().flatten().cloned().collect();
    shared.berths.claim(&service.uid().unwrap_or_default(), names).map_err(|name| {
        stall("HostnameTaken", format!("spec.hostname: {name} is that of another service of this host; choose another"))
    })?;
    let proxy = of_spec(spec);
    let endpoint = |door: Option<Door>, host: &str| {
        door.map(|Door { service, port }| Endpoint { service, port, host: host.to_owned() })
    };
    let main = endpoint(doors.main, &hosts.main);
    let filebrowser = endpoint(doors.filebrowser, &hosts.filebrowser);
    let url = |endpoint: &Option<Endpoint>| endpoint.as_ref().map(|endpoint| proxy.url(&endpoint.host));
    let urls = ServiceUrls { main: url(&main), filebrowser: url(&filebrowser) };
    let endpoints: Vec<Endpoint> = main.into_iter().chain(filebrowser).collect();
    exposure::expose(project, &endpoints, &proxy).map_err(not_exposable)?;
    Ok(urls)
}

/// Gives each of them a port of its own, which it keeps as long as its status tells of it.
fn at_ports(
    shared: &Shared,
    service: &DockerService,
    range: PortRange,
    address: &str,
    doors: Doors,
    project: &mut Project,
) -> Result<ServiceUrls, Unresolved> {
    let uid = service.uid().unwrap_or_default();
    let before = service.status.as_ref().and_then(|status| status.urls.clone()).unwrap_or_default();
    let Doors { main, filebrowser } = doors;
    let wanted: Vec<(Door, Option<String>)> = [(main, before.main), (filebrowser, before.filebrowser)]
        .into_iter()
        .filter_map(|(door, url)| Some((door?, url)))
        .collect();
    let is_main: Vec<bool> = [true, false].into_iter().take(wanted.len()).collect();
    let chosen = choose(&wanted, range, address, &shared.berths.taken(&uid))
        .ok_or_else(|| stall("NoPort", "the DockerHost has no port left for this service (spec.servicePorts)"))?;
    let names = chosen.iter().map(|(_, _, port)| format!("{address}:{port}")).collect();
    // Somebody took one of them a moment ago.
    shared
        .berths
        .claim(&uid, names)
        .map_err(|name| wait("CatchingUp", format!("the port {name} was just given away")))?;
    exposure::publish(project, &chosen).map_err(not_exposable)?;
    let mut urls = ServiceUrls::default();
    for ((_, _, port), is_main) in chosen.iter().zip(is_main) {
        let url = Some(format!("http://{address}:{port}"));
        if is_main { urls.main = url } else { urls.filebrowser = url }
    }
    Ok(urls)
}

/// A port of the range for each: the one that it has, or the first that is free.
fn choose(
    wanted: &[(Door, Option<String>)],
    range: PortRange,
    address: &str,
    taken: &BTreeSet<String>,
) -> Option<Vec<(String, u16, u16)>> {
    let fits = |port: i64| (range.from..=range.to).contains(&port) && !taken.contains(&format!("{address}:{port}"));
    let mut chosen: Vec<(String, u16, u16)> = Vec::new();
    for (Door { service, port }, url) in wanted {
        let had = url.as_ref().and_then(|url| url.rsplit_once(':')?.1.parse::<i64>().ok());
        let others: Vec<i64> = chosen.iter().map(|(_, _, port)| i64::from(*port)).collect();
        let kept = wanted.iter().filter_map(|(_, url)| url.as_ref()?.rsplit_once(':')?.1.parse::<i64>().ok());
        let kept: Vec<i64> = kept.collect();
        let free = (range.from..=range.to).find(|port| fits(*port) && !others.contains(port) && !kept.contains(port));
        let published = had.filter(|port| fits(*port) && !others.contains(port)).or(free)?;
        chosen.push((service.clone(), *port, u16::try_from(published).ok()?));
    }
    Some(chosen)
}

fn not_exposable(error: exposure::Unexposable) -> Unresolved {
    stall("NotExposable", format!("spec.expose: {error}"))
}

struct Hosts {
    main: String,
    filebrowser: String,
}

impl Hosts {
    fn of(service: &DockerService, proxy: &docker_host::Proxy, tenant: &DockerTenant) -> Result<Self, Unresolved> {
        let domain = &proxy.domain;
        let given = service.hostname();
        if let Some((_, rest)) = given.split_once('.') {
            let allowed = tenant.allow.as_ref().map(|allow| allow.host_names.as_slice()).unwrap_or_default();
            if rest != domain && !allowed.iter().any(|pattern| fits(pattern, &given)) {
                let message = format!(
                    "spec.hostname: {given} is outside of {domain}, and the host's policy (hostNames) does not open it; \
                     choose a name without a dot, or ask its administrator"
                );
                return Err(stall("NotAllowed", message));
            }
        } else if given.len() > LONGEST_LABEL - FILEBROWSER.len() {
            let most = LONGEST_LABEL - FILEBROWSER.len();
            return Err(stall("InvalidSpec", format!("spec.hostname: give one of at most {most} letters for {given}")));
        }
        let [main, filebrowser] = service.host_names(domain);
        Ok(Self { main, filebrowser })
    }
}

/// Whether a host name is the one of a pattern, or below that of `*.example.org`.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(ending) => name.strip_suffix(ending).is_some_and(|rest| !rest.is_empty()),
        None => pattern == name,
    }
}

fn of_spec(spec: &docker_host::Proxy) -> Proxy {
    let docker_host::Proxy { kind, domain: _, container, entry_point, cert_resolver, plaintext } = spec;
    let usual = if *plaintext { "web" } else { "websecure" };
    let flavour = match kind {
        ProxyKind::Traefik => Flavour::Traefik {
            entry_point: entry_point.clone().unwrap_or_else(|| usual.to_owned()),
            resolver: cert_resolver.clone(),
        },
        ProxyKind::Caddy => Flavour::Caddy,
    };
    Proxy { flavour, container: container.clone(), tls: !plaintext }
}

/// The names that a service had, as far as its status tells.
pub fn names(service: &DockerService) -> BTreeSet<String> {
    let ServiceUrls { main, filebrowser } =
        service.status.as_ref().and_then(|status| status.urls.clone()).unwrap_or_default();
    let urls = main.into_iter().chain(filebrowser);
    urls.filter_map(|url| Some(url.split_once("://")?.1.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{common::NameRef, docker_service::DockerServiceSpec, docker_tenant::DockerAllow};

    fn hosts(name: &str, hostname: Option<&str>) -> Result<(String, String), String> {
        let spec: DockerServiceSpec =
            serde_json::from_value(serde_json::json!({"hostRef": NameRef { name: "h".into() }, "hostname": hostname}))
                .unwrap();
        let proxy: docker_host::Proxy =
            serde_json::from_value(serde_json::json!({"kind": "Caddy", "domain": "example.com"})).unwrap();
        let host_names = vec!["www.example.org".to_owned(), "*.shop.org".to_owned()];
        let allow = Some(DockerAllow { host_names, ..DockerAllow::default() });
        let tenant = DockerTenant { allow, ..DockerTenant::default() };
        match Hosts::of(&DockerService::new(name, spec), &proxy, &tenant) {
            Ok(Hosts { main, filebrowser }) => Ok((main, filebrowser)),
            Err(Unresolved::Stalled(reason)) => Err(reason.message),
            Err(_) => panic!("it is awaited"),
        }
    }

    #[test]
    fn a_service_has_a_name_below_the_domain_or_one_that_is_opened() {
        for (name, hostname, main, filebrowser) in [
            ("shop", None, "shop.example.com", "shop-filebrowser.example.com"),
            ("shop.v2", None, "shop-v2.example.com", "shop-v2-filebrowser.example.com"),
            ("shop", Some("store"), "store.example.com", "store-filebrowser.example.com"),
            ("shop", Some("store.example.com"), "store.example.com", "store-filebrowser.example.com"),
            ("shop", Some("www.example.org"), "www.example.org", "www-filebrowser.example.org"),
            ("shop", Some("a.shop.org"), "a.shop.org", "a-filebrowser.shop.org"),
        ] {
            assert_eq!(hosts(name, hostname), Ok((main.to_owned(), filebrowser.to_owned())));
        }
        for (name, hostname) in
            [("shop", Some("mail.example.org")), ("shop", Some("shop.org")), ("shop", Some("a.b.example.com"))]
        {
            assert!(hosts(name, hostname).unwrap_err().contains("is outside of example.com"), "{hostname:?}");
        }
        assert!(hosts(&"x".repeat(60), None).unwrap_err().contains("at most 51 letters"));
    }

    #[test]
    fn a_service_keeps_its_ports_and_gets_those_that_are_free() {
        let range = PortRange { from: 30_000, to: 30_003 };
        let door = |service: &str| Door { service: service.to_owned(), port: 80 };
        let taken = BTreeSet::from(["h:30000".to_owned()]);
        let ports = |main: Option<&str>, filebrowser: Option<&str>| {
            let url = |url: Option<&str>| url.map(str::to_owned);
            let wanted = [(door("web"), url(main)), (door("filebrowser"), url(filebrowser))];
            let chosen = choose(&wanted, range, "h", &taken)?;
            Some(chosen.into_iter().map(|(_, _, port)| port).collect::<Vec<_>>())
        };
        assert_eq!(ports(None, None), Some(vec![30_001, 30_002]));
        assert_eq!(ports(None, Some("http://h:30001")), Some(vec![30_002, 30_001]));
        assert_eq!(ports(Some("http://h:30003"), None), Some(vec![30_003, 30_001]));
        assert_eq!(
            ports(Some("http://h:30000"), Some("http://h:40000")),
            Some(vec![30_001, 30_002]),
            "they are not to be had"
        );
        let all: BTreeSet<_> = (30_000..30_003).map(|port| format!("h:{port}")).collect();
        assert_eq!(choose(&[(door("web"), None)], range, "h", &all).unwrap()[0].2, 30_003);
        assert_eq!(choose(&[(door("web"), None), (door("x"), None)], range, "h", &all), None);
    }
}
