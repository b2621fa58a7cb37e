//! How to reach an engine: its address, what proves who is who, time limits.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use secrecy::SecretString;

/// How to reach an engine.
#[derive(Clone, Debug)]
pub struct Settings {
    pub address: Address,
    pub access: Access,
    pub limits: Limits,
}

/// Where an engine listens: `unix:///var/run/docker.sock`, `tcp://host:2376` or `ssh://user@host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A socket of this machine.
    Unix(PathBuf),
    Tcp(HostPort),
    Ssh {
        user: String,
        at: HostPort,
        /// The engine's socket over there.
        socket: String,
    },
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// A name or an address; of IPv6 without brackets.
    pub host: String,
    pub port: u16,
}

/// A text that is no address of an engine.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("not an address such as unix:///var/run/docker.sock, tcp://host:2376 or ssh://user@host: {0}")]
pub struct InvalidAddress(&'static str);

/// What proves who is who.
#[derive(Clone, Debug)]
pub enum Access {
    /// Nothing: the rights on the socket do. For `unix://`.
    Local,
    /// For `tcp://`.
    Tls(Tls),
    /// For `tcp://`. Whoever is in between reads and changes everything, and who reaches the port owns the host.
    Unencrypted,
    /// For `ssh://`.
    Ssh(Ssh),
}

/// Certificates, in PEM.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// The authorities that are believed, and no others; without them, those of the operating system.
    pub ca: Option<String>,
    /// Who we are.
    pub client: Option<Identity>,
}

/// A client's certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// With what it was signed by, if that is no authority of the server's.
    pub certificate: String,
    pub key: SecretString,
}

/// How an SSH server is entered.
#[derive(Clone, Debug)]
pub struct Ssh {
    /// In the format of OpenSSH, or in PEM.
    pub private_key: SecretString,
    /// Opens the private key, if it is locked.
    pub passphrase: Option<SecretString>,
    /// The server's keys, as `ssh-keyscan` prints them. Another key is not believed.
    pub known_hosts: String,
}

/// How long things may take. Of a stream: how long it may be silent.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// To connect, TLS or SSH included.
    pub connect: Duration,
    /// For what the engine answers from its memory: an inspection, a list.
    pub read: Duration,
    /// For what changes something: it may create a volume at a remote storage.
    pub write: Duration,
    /// How much longer than its grace a stop may take.
    pub stop: Duration,
    /// How long a pull may tell of nothing.
    pub pull: Duration,
    /// How long a build may print nothing.
    pub build: Duration,
    /// How long an upload or a download may move no byte.
    pub transfer: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            read: Duration::from_secs(30),
            write: Duration::from_secs(120),
            stop: Duration::from_secs(60),
            pull: Duration::from_secs(300),
            build: Duration::from_secs(1800),
            transfer: Duration::from_secs(120),
        }
    }
}

/// Where an engine's socket is unless it says otherwise.
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
/// The port of an engine that speaks TLS, as is agreed.
const TLS_PORT: u16 = 2376;
const SSH_PORT: u16 = 22;

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let Some((scheme, rest)) = text.trim().split_once("://") else {
            return Err(InvalidAddress("it has no scheme"));
        };
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Self::Unix(PathBuf::from(rest))),
            "unix" => Err(InvalidAddress("the path of a socket has to be absolute")),
            "tcp" => {
                let rest = rest.strip_suffix('/').unwrap_or(rest);
                if rest.contains('@') {
                    return Err(InvalidAddress("credentials do not belong in it"));
                }
                if rest.contains(['/', '?', '#']) {
                    return Err(InvalidAddress("a path or query does not belong in it"));
                }
                Ok(Self::Tcp(HostPort::parse(rest, TLS_PORT)?))
            }
            "ssh" => {
                let Some((user, rest)) = rest.split_once('@') else {
                    return Err(InvalidAddress("it lacks the user"));
                };
                if user.contains(':') {
                    return Err(InvalidAddress("a password does not belong in it"));
                }
                if user.is_empty() {
                    return Err(InvalidAddress("it lacks the user"));
                }
                let (authority, path) = match rest.find('/') {
                    Some(at) => rest.split_at(at),
                    None => (rest, ""),
                };
                let socket = if path.len() > 1 { path } else { DEFAULT_SOCKET };
                let at = HostPort::parse(authority, SSH_PORT)?;
                Ok(Self::Ssh { user: user.to_owned(), at, socket: socket.to_owned() })
            }
            _ => Err(InvalidAddress("the scheme has to be unix, tcp or ssh")),
        }
    }
}

impl HostPort {
    fn parse(authority: &str, port: u16) -> Result<Self, InvalidAddress> {
        let (host, tail) = match authority.strip_prefix('[').map(|rest| rest.split_once(']')) {
            Some(Some((host, tail))) => (host, tail),
            Some(None) => return Err(InvalidAddress("a bracket is not closed")),
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let port = match tail.strip_prefix(':') {
            Some(digits) => digits.parse().map_err(|_| InvalidAddress("the port is no number up to 65535"))?,
            None if tail.is_empty() => port,
            None => return Err(InvalidAddress("something follows the host that is no port")),
        };
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(InvalidAddress("it lacks the host"));
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(out, "[{host}]:{port}") } else { write!(out, "{host}:{port}") }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(out, "unix://{}", path.display()),
            Self::Tcp(at) => write!(out, "tcp://{at}"),
            Self::Ssh { user, at, socket } if socket == DEFAULT_SOCKET => write!(out, "ssh://{user}@{at}"),
            Self::Ssh { user, at, socket } => write!(out, "ssh://{user}@{at}{socket}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_the_port_and_socket_it_lacks() {
        for (text, shown) in [
            ("unix:///run/docker.sock", "unix:///run/docker.sock"),
            ("tcp://docker1.example", "tcp://docker1.example:2376"),
            ("tcp://10.0.0.1:2375/", "tcp://10.0.0.1:2375"),
            ("tcp://[fd00::1]", "tcp://[fd00::1]:2376"),
            ("ssh://ops@docker1", "ssh://ops@docker1:22"),
            ("ssh://ops@[fd00::1]:2222/", "ssh://ops@[fd00::1]:2222"),
            ("ssh://ops@docker1/run/user/1000/docker.sock", "ssh://ops@docker1:22/run/user/1000/docker.sock"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(address.to_string().parse(), Ok(address), "what is shown means the same");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "docker1",
            "/var/run/docker.sock",
            "unix://docker.sock",
            "http://docker1:2375",
            "fd://",
            "tcp://",
            "tcp://:2376",
            "tcp://docker1:port",
            "tcp://docker1:70000",
            "tcp://[fd00::1",
            "tcp://[fd00::1]2376",
            "tcp://user@docker1",
            "tcp://docker1/path",
            "ssh://docker1",
            "ssh://@docker1",
            "ssh://ops:secret@docker1",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
