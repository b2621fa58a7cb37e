//! How to reach a site: endpoints, credentials, trust, time limits.

use std::{fmt, str::FromStr, time::Duration};

use reqwest::Url;
use secrecy::SecretString;

/// How to reach a site.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Entries to the same Proxmox cluster, in order of preference.
    pub endpoints: Vec<Endpoint>,
    pub credentials: Credentials,
    pub trust: Trust,
    pub timeouts: Timeouts,
}

/// Who we are to Proxmox.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// An API token.
    Token {
        /// `user@realm!tokenid`.
        id: String,
        secret: SecretString,
    },
    /// A user, for whom tickets are got and renewed.
    Password {
        /// `user@realm`.
        user: String,
        password: SecretString,
    },
}

/// Which server certificate is believed.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Signed by an authority of the operating system, for the endpoint's name.
    System,
    /// Signed by an authority of this PEM bundle (`/etc/pve/pve-root-ca.pem`), for the endpoint's name.
    Bundle(String),
    /// Exactly one of these certificates: each node of a cluster has its own.
    Fingerprints(Vec<Fingerprint>),
    /// Any. Whoever is in between reads and changes everything.
    Insecure,
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// To connect, TLS included.
    pub connect: Duration,
    /// For a read's answer. A 401 comes after 3 s.
    pub read: Duration,
    /// For a write's answer. A lock is waited for 10 s.
    pub write: Duration,
    /// How old a ticket may get before another is got; Proxmox takes it for two hours.
    pub ticket_age: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            read: Duration::from_secs(20),
            write: Duration::from_secs(60),
            ticket_age: Duration::from_secs(90 * 60),
        }
    }
}

/// An entry to the API: `https://pve1.example:8006`. Scheme and port may be left out.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

/// A text that is no endpoint.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("not an endpoint such as https://pve1.example:8006: {0}")]
pub struct InvalidEndpoint(&'static str);

impl Endpoint {
    pub(super) fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The URL of a path and query below the API's root.
    pub(super) fn url(&self, path: &str, query: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("/api2/json{path}"));
        url.set_query((!query.is_empty()).then_some(query));
        url
    }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
        if scheme != "https" && scheme != "http" {
            return Err(InvalidEndpoint("the scheme has to be https"));
        }
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains('@') {
            return Err(InvalidEndpoint("credentials do not belong in it"));
        }
        if authority.contains(['/', '?', '#']) {
            return Err(InvalidEndpoint("a path or query does not belong in it"));
        }
        let host_end = authority.rfind(']').unwrap_or(0);
        let has_port = authority.get(host_end..).is_some_and(|tail| tail.contains(':'));
        let port = if has_port { "" } else { ":8006" };
        Url::parse(&format!("{scheme}://{authority}{port}/"))
            .map(Self)
            .map_err(|_| InvalidEndpoint("it is no valid URL"))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.0.host_str().unwrap_or_default();
        let port = self.0.port_or_known_default().unwrap_or_default();
        write!(out, "{}://{host}:{port}", self.0.scheme())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// The SHA-256 of a certificate; shown as Proxmox shows it: `50:36:D9:…`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

/// A text that is no fingerprint.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a SHA-256 fingerprint (64 hexadecimal digits, mostly with colons)")]
pub struct InvalidFingerprint;

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    pub fn of(certificate: &[u8]) -> Self {
        use sha2::Digest;
        Self(sha2::Sha256::digest(certificate).into())
    }
}

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        let digits: String = text.chars().filter(|c| *c != ':' && !c.is_whitespace()).collect();
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| InvalidFingerprint)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let colon = if at == 0 { "" } else { ":" };
            write!(out, "{colon}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_gets_the_scheme_and_port_it_lacks() {
        for (text, shown) in [
            ("pve1", "https://pve1:8006"),
            ("https://pve1.example/", "https://pve1.example:8006"),
            ("https://pve1:443", "https://pve1:443"),
            ("https://10.0.0.1:18006", "https://10.0.0.1:18006"),
            ("[fd00::1]", "https://[fd00::1]:8006"),
            ("https://[fd00::1]:9000", "https://[fd00::1]:9000"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for text in [
            "",
            "ftp://pve1",
            "https://root:secret@pve1",
            "https://pve1/api2/json",
            "https://pve1?x=1",
            "https://pve1:99999",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_fingerprint_is_read_in_any_case_with_or_without_colons() {
        let shown = "50:36:D9:6D:EC:CC:E6:1B:12:F3:83:6F:0B:64:D7:72:51:ED:88:87:43:32:54:7F:C5:BB:8A:2E:4B:BC:CC:6E";
        let fingerprint: Fingerprint = shown.parse().unwrap();
        assert_eq!(fingerprint.to_string(), shown);
        assert_eq!(shown.to_lowercase().parse(), Ok(fingerprint));
        assert_eq!(shown.replace(':', "").parse(), Ok(fingerprint));
        assert!(shown.replace("6E", "").parse::<Fingerprint>().is_err());
        assert!("zz".repeat(32).parse::<Fingerprint>().is_err());
    }

    #[test]
    fn credentials_show_no_secret() {
        let shown = format!(
            "{:?}{:?}",
            Credentials::Token { id: "op@pve!full".to_owned(), secret: "hunter2".into() },
            Credentials::Password { user: "root@pam".to_owned(), password: "hunter2".into() },
        );
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
