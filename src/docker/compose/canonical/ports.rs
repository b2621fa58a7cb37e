//! Entries of `ports`: `[[IP:]HOST:]CONTAINER[/PROTOCOL]` with ranges, and its long form; one entry for each port.

use super::Canonical;
use crate::docker::compose::interpolate::join;
use crate::docker::compose::problem::{Problem, add};
use crate::docker::compose::tree::{Map, Node, Value};
use crate::docker::compose::yaml::too_large;

/// What a port costs of the budget.
const PORT: usize = 512;

impl Canonical<'_> {
    pub(super) fn ports(&mut self, node: &mut Node, path: &str) {
        let Value::List(entries) = &mut node.value else { return };
        let mut ports = Vec::with_capacity(entries.len());
        for (index, entry) in std::mem::take(entries).into_iter().enumerate() {
            let text = match &entry.value {
                Value::Text(text) => text.clone(),
                Value::Int(number) => number.to_string(),
                _ => {
                    ports.push(entry);
                    continue;
                }
            };
            match Short::parse(&text) {
                Ok(short) => {
                    if self.budget.spend(short.count().saturating_mul(PORT)).is_err() {
                        add(self.problems, too_large(&entry.at));
                        return;
                    }
                    ports.extend(short.written_out(&entry));
                }
                Err(message) => {
                    let message = format!("{}: {message}", entry.shown());
                    let remedy = "write `[[IP:]HOST:]CONTAINER[/PROTOCOL]`, in quotes";
                    add(self.problems, Problem::new(&entry.at, join(path, &index.to_string()), message, remedy));
                }
            }
        }
        *entries = ports;
    }
}

struct Short<'a> {
    ip: Option<&'a str>,
    published: Option<(u16, u16)>,
    target: (u16, u16),
    protocol: String,
}

impl<'a> Short<'a> {
    fn parse(text: &'a str) -> Result<Self, &'static str> {
        let (addresses, protocol) = match text.rsplit_once('/') {
            Some((addresses, protocol)) => (addresses, protocol.to_lowercase()),
            None => (text, "tcp".to_owned()),
        };
        if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
            return Err("the protocol must be `tcp`, `udp` or `sctp`");
        }
        let (host, target) = match addresses.rsplit_once(':') {
            Some((host, target)) => (Some(host), target),
            None => (None, addresses),
        };
        let (ip, published) =
            match host.map(|host| host.rsplit_once(':').map_or((None, host), |(ip, port)| (Some(ip), port))) {
                None => (None, None),
                Some((ip, published)) => (ip, Some(published)),
            };
        let ip = ip.filter(|ip| !ip.is_empty()).map(|ip| ip.trim_start_matches('[').trim_end_matches(']'));
        if ip.is_some_and(|ip| ip.parse::<std::net::IpAddr>().is_err()) {
            return Err("the address of the host is none");
        }
        let target = range(target).ok_or("the port of the container is none")?;
        let published = match published.filter(|published| !published.is_empty()) {
            None => None,
            Some(published) => Some(range(published).ok_or("the port of the host is none")?),
        };
        if let Some((first, last)) = published
            && target.0 != target.1
            && last.abs_diff(first) != target.1.abs_diff(target.0)
        {
            return Err("the ranges of the host and the container differ in length");
        }
        Ok(Self { ip, published, target, protocol })
    }

    fn count(&self) -> usize {
        usize::from(self.target.1.abs_diff(self.target.0)).saturating_add(1)
    }

    fn written_out(self, entry: &Node) -> Vec<Node> {
        let single = self.target.0 == self.target.1;
        let text = |text: &str| Node::in_place_of(entry, Value::Text(text.to_owned()));
        let port = |target: u16| {
            let mut map = Map::from([
                ("target".to_owned(), Node::in_place_of(entry, Value::Int(target.into()))),
                ("protocol".to_owned(), text(&self.protocol)),
                ("mode".to_owned(), text("ingress")),
            ]);
            map.extend(self.ip.map(|ip| ("host_ip".to_owned(), text(ip))));
            let published = self.published.map(|(first, last)| match single {
                true if first != last => format!("{first}-{last}"),
                true => first.to_string(),
                false => first.saturating_add(target.saturating_sub(self.target.0)).to_string(),
            });
            map.extend(published.map(|published| ("published".to_owned(), text(&published))));
            Node::in_place_of(entry, Value::Map(map))
        };
        // Docker Compose has them in the order of their texts.
        let mut targets: Vec<u16> = (self.target.0..=self.target.1).collect();
        targets.sort_by_key(|target| format!("{target}/"));
        targets.into_iter().map(port).collect()
    }
}

/// A port or a range of ports.
pub fn range(text: &str) -> Option<(u16, u16)> {
    let number = |text: &str| text.parse::<u16>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    (first <= last).then_some((first, last))
}
