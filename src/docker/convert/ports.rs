//! Exposed and published ports.

use std::collections::{BTreeSet, HashMap};

use bollard::models::{PortBinding, PortMap};

use crate::docker::compose::model::Port;

use super::{Context, Error};

/// Those that are published, and those that are only said to be listened on.
pub(super) fn exposed(context: &Context<'_>, published: &[Port], expose: &[String]) -> Result<Vec<String>, Error> {
    let mut all: BTreeSet<String> = published.iter().map(container_port).collect();
    for (index, text) in expose.iter().enumerate() {
        let Some(ports) = range(text) else {
            let at = context.service.at.of(&format!("expose.{index}"));
            return Err(context.value(at, "expose", text, "it is no port such as 8080, 8080/udp or 8080-8085"));
        };
        all.extend(ports);
    }
    Ok(all.into_iter().collect())
}

/// `8080`, `8080/udp` or `8080-8085`.
fn range(text: &str) -> Option<Vec<String>> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    let protocol = protocol.to_lowercase();
    let known = matches!(protocol.as_str(), "tcp" | "udp" | "sctp");
    (known && first <= last).then(|| (first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

fn container_port(port: &Port) -> String {
    format!("{}/{}", port.target, port.protocol.as_str())
}

/// Where the published ports are on the host.
pub(super) fn bindings(ports: &[Port]) -> PortMap {
    let mut bindings: PortMap = HashMap::new();
    for port in ports {
        let Port { at: _, name: _, target: _, published, host_ip, protocol: _, app_protocol: _, mode: _ } = port;
        let binding = PortBinding {
            host_ip: Some(host_ip.map(|address| address.to_string()).unwrap_or_default()),
            host_port: Some(published.map(|ports| ports.to_string()).unwrap_or_default()),
        };
        bindings.entry(container_port(port)).or_default().get_or_insert_default().push(binding);
    }
    bindings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exposed_ports_are_single_ports_and_ranges() {
        for (text, ports) in [
            ("80", Some(vec!["80/tcp"])),
            ("80/udp", Some(vec!["80/udp"])),
            ("80-82/SCTP", Some(vec!["80/sctp", "81/sctp", "82/sctp"])),
            ("82-80", None),
            ("http", None),
            ("80/http", None),
            ("70000", None),
        ] {
            let ports = ports.map(|ports| ports.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(range(text), ports, "{text}");
        }
    }
}
