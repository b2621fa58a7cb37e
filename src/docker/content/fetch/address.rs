//! Which addresses may be talked to.
//!
//! Tenants name the hosts, and their names may lead anywhere: to the cluster's own services, to the metadata of the
//! cloud, to this process. What is checked is what is connected to, so that a name cannot lead elsewhere the second time.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

/// Networks that are not public, in IPv4, and what they are.
const SPECIAL_V4: [(Ipv4Addr, u8, &str); 17] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "an unspecified address"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "a private address"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "an address shared by a provider"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "a loopback address"),
    // The metadata of Azure's machines has a public address.
    (Ipv4Addr::new(168, 63, 129, 16), 32, "an address of a cloud's metadata"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "a link-local address"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "a private address"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "a reserved address"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "a documentation address"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "a relay address"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "a private address"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "a benchmarking address"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "a documentation address"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "a documentation address"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "a multicast address"),
    (Ipv4Addr::new(255, 255, 255, 255), 32, "the broadcast address"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "a reserved address"),
];

/// The same in IPv6. What none of these holds is public if it is in [`GLOBAL_V6`].
const SPECIAL_V6: [(Ipv6Addr, u8, &str); 10] = [
    (Ipv6Addr::UNSPECIFIED, 128, "an unspecified address"),
    (Ipv6Addr::LOCALHOST, 128, "a loopback address"),
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48, "an address of a local translator"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "a documentation address"),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "a reserved address"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "a documentation address"),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, "a private address"),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, "a link-local address"),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, "a private address"),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, "a multicast address"),
];

/// What is handed out to be reached from everywhere.
const GLOBAL_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Where IPv4 addresses are written inside of IPv6 ones: the prefix, its length, and the byte at which they begin.
const EMBEDDING: [(Ipv6Addr, u8, usize); 4] = [
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, 12),
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96, 12),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, 2),
    (Ipv6Addr::UNSPECIFIED, 96, 12),
];

/// What may be talked to beside public addresses.
#[derive(Clone, Debug, Default)]
pub struct Networks {
    /// Networks whose addresses are allowed although they are not public.
    pub allowed: Vec<IpNet>,
}

/// A host leads to an address that may not be talked to.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{host} is at {address}, {kind}, which services may not fetch from; an administrator can allow it in the \
     operator's list of networks"
)]
pub struct Forbidden {
    /// As it was named.
    pub host: String,
    /// Where it leads to.
    pub address: IpAddr,
    /// What kind of address that is.
    pub kind: &'static str,
}

impl Networks {
    /// Whether an address may be talked to.
    ///
    /// # Errors
    /// When it is neither public nor allowed.
    pub fn check(&self, host: &str, address: IpAddr) -> Result<(), Forbidden> {
        let embedded = match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => embedded(address),
        };
        let allowed = |address: IpAddr| self.allowed.iter().any(|network| network.contains(&address));
        if allowed(address) || embedded.is_some_and(|embedded| allowed(embedded.into())) {
            return Ok(());
        }
        match kind(address) {
            None => Ok(()),
            Some(kind) => Err(Forbidden { host: host.to_owned(), address, kind }),
        }
    }

    /// The addresses of a host that may be talked to, at least one.
    ///
    /// # Errors
    /// When there are none, or none of them may be talked to ([`Forbidden`], inside of the error).
    pub async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let mut refused = None;
        let mut allowed = Vec::new();
        for address in lookup_host((host, port)).await? {
            match self.check(host, address.ip()) {
                Ok(()) => allowed.push(address),
                Err(forbidden) => refused = refused.or(Some(forbidden)),
            }
        }
        match refused {
            _ if !allowed.is_empty() => Ok(allowed),
            Some(forbidden) => Err(io::Error::new(io::ErrorKind::PermissionDenied, forbidden)),
            None => Err(io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"))),
        }
    }

    /// Connects to a host, if it may be talked to, within a time.
    ///
    /// # Errors
    /// As [`Networks::resolve`], and when nobody answers.
    pub async fn dial(&self, host: &str, port: u16, limit: Duration) -> io::Result<TcpStream> {
        let connect = async {
            let addresses = self.resolve(host, port).await?;
            TcpStream::connect(addresses.as_slice()).await
        };
        timeout(limit, connect).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// The IPv4 address that an IPv6 address stands for.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let octets = address.octets();
    EMBEDDING.iter().find(|(prefix, length, _)| holds_v6(*prefix, *length, address)).and_then(|(_, _, at)| {
        let part = octets.get(*at..at.saturating_add(4))?;
        <[u8; 4]>::try_from(part).ok().map(Ipv4Addr::from)
    })
}

/// What kind of address it is, unless it is a public one.
fn kind(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => {
            SPECIAL_V4.iter().find(|(prefix, length, _)| holds_v4(*prefix, *length, address)).map(|(_, _, kind)| *kind)
        }
        IpAddr::V6(address) => {
            let special = SPECIAL_V6.iter().find(|(prefix, length, _)| holds_v6(*prefix, *length, address));
            match (special, embedded(address)) {
                (Some((_, _, kind)), _) => Some(kind),
                (None, Some(embedded)) => kind(embedded.into()),
                (None, None) if holds_v6(GLOBAL_V6.0, GLOBAL_V6.1, address) => None,
                (None, None) => Some("a reserved address"),
            }
        }
    }
}

fn holds_v4(prefix: Ipv4Addr, length: u8, address: Ipv4Addr) -> bool {
    Ipv4Net::new(prefix, length).is_ok_and(|network| network.contains(&address))
}

fn holds_v6(prefix: Ipv6Addr, length: u8, address: Ipv6Addr) -> bool {
    Ipv6Net::new(prefix, length).is_ok_and(|network| network.contains(&address))
}

/// Resolves names for the HTTP client, which then connects to what this gives and to nothing else. Addresses that are
/// written in URLs do not come by here.
#[derive(Debug)]
pub(super) struct Resolver(pub Arc<Networks>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let networks = self.0.clone();
        Box::pin(async move {
            let addresses = networks.resolve(name.as_str(), 0).await?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::content::fetch::error::cause;

    fn check(networks: &[&str], address: &str) -> Result<(), Forbidden> {
        let allowed = networks.iter().map(|network| network.parse().unwrap()).collect();
        Networks { allowed }.check("git.example", address.parse().unwrap())
    }

    #[test]
    fn only_public_addresses_may_be_talked_to() {
        for public in [
            "1.1.1.1",
            "140.82.121.4",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::1111",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
        ] {
            assert_eq!(check(&[], public), Ok(()), "{public}");
        }
        for special in [
            "0.0.0.0",
            "0.1.2.3",
            "10.1.2.3",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:10.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
            "5f00::1",
            "4000::1",
        ] {
            let error = check(&[], special).unwrap_err().to_string();
            assert!(error.contains("git.example") && error.contains("administrator"), "{special}: {error}");
        }
    }

    #[test]
    fn an_administrator_may_allow_more() {
        assert_eq!(check(&["10.0.0.0/8"], "10.1.2.3"), Ok(()));
        assert_eq!(check(&["10.0.0.0/8"], "::ffff:10.1.2.3"), Ok(()));
        assert_eq!(check(&["64:ff9b::/96"], "64:ff9b::10.0.0.1"), Ok(()));
        assert_eq!(check(&["::1/128"], "::1"), Ok(()));
        assert!(check(&["10.0.0.0/8"], "127.0.0.1").is_err());
        assert!(check(&["127.0.0.0/8"], "::1").is_err());
    }

    #[tokio::test]
    async fn names_and_odd_forms_are_judged_by_where_they_lead() {
        for host in ["localhost", "127.1", "0x7f.1", "2130706433", "::ffff:127.0.0.1"] {
            let error = Networks::default().resolve(host, 80).await.unwrap_err();
            assert!(cause::<Forbidden>(&error).is_some(), "{host}: {error}");
        }
        let loopback = Networks { allowed: vec!["127.0.0.0/8".parse().unwrap()] };
        assert_eq!(loopback.resolve("127.0.0.1", 80).await.unwrap(), ["127.0.0.1:80".parse().unwrap()]);
    }
}
