//! Git over SSH: a session for each exchange, in which the server runs its half.

use std::{
    io::{self, Read, Write},
    sync::Arc,
    time::Duration,
};

use bytes::{Buf, Bytes};
use gix_transport::{
    Protocol,
    client::{
        blocking_io::Transport,
        git::{ConnectMode, blocking_io::Connection},
    },
};
use parking_lot::Mutex;
use russh::{
    ChannelMsg, ChannelReadHalf, ChannelWriteHalf,
    client::{self, AuthResult, Handle, Msg},
    keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate, decode_secret_key},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

use crate::docker::engine::known_hosts::{KnownHosts, Verdict};

use super::{
    super::{Error, Forbidden, Networks, Result, Times, error::cause},
    line::{Line, printable},
    url::SshUrl,
};

/// How much of what a server complains of is kept.
const COMPLAINT: usize = 2048;

/// What the servers of the large hosts say of repositories that do not exist, or not for this key.
const MISSING: [&str; 5] =
    ["not found", "does not appear to be a git repository", "does not exist", "could not be found", "no such"];

/// A key, and the servers it may be shown to.
#[derive(Clone, Debug)]
pub struct SshAccess {
    /// In the format of OpenSSH, or in PEM; not locked by a passphrase.
    pub private_key: SecretString,
    /// The servers' keys, as `ssh-keyscan` prints them. Another key is not believed.
    pub known_hosts: String,
}

/// What a server says beside its answers.
#[derive(Debug, Default)]
struct Said {
    complaint: Vec<u8>,
    code: Option<u32>,
}

/// What the server complained of, after an exchange has failed.
#[derive(Clone, Debug, Default)]
pub(super) struct Complaint(Arc<Mutex<Said>>);

impl Complaint {
    /// The error that it means, if it means one.
    pub(super) fn error(&self, url: &str, host: String) -> Option<Error> {
        let said = self.0.lock();
        let text = printable(&String::from_utf8_lossy(&said.complaint));
        let lower = text.to_lowercase();
        if MISSING.iter().any(|missing| lower.contains(missing)) {
            let hint = ", or the key does not give access to it";
            return Some(Error::NotFound { url: url.to_owned(), hint });
        }
        if ["denied", "access", "permission"].iter().any(|refusal| lower.contains(refusal)) {
            return Some(Error::NotAdmitted { host, reason: format!("it says {text:?}") });
        }
        match said.code {
            None | Some(0) if text.is_empty() => None,
            Some(127) => Some(Error::Protocol { host, reason: "it has no git".to_owned() }),
            None | Some(_) if text.is_empty() => None,
            None | Some(_) => Some(Error::Protocol { host, reason: format!("it says {text:?}") }),
        }
    }
}

/// A connection to a repository over SSH.
pub(super) fn connect(
    url: &SshUrl,
    access: &SshAccess,
    networks: &Networks,
    times: Times,
    line: &Line,
) -> Result<(Box<dyn Transport>, Complaint)> {
    let complaint = Complaint::default();
    let opened = line.wait(open(url, access, networks, times, line.host()));
    let (session, reading, writing) = opened.map_err(|error| line.blame(&error))?;
    let session = Arc::new(session);
    let read = Reader {
        channel: reading,
        _session: session.clone(),
        line: line.clone(),
        idle: times.idle,
        said: complaint.0.clone(),
        rest: Bytes::new(),
        ended: false,
    };
    let write = Writer { channel: writing, _session: session, line: line.clone(), idle: times.idle };
    let host = None::<(String, Option<u16>)>;
    let connection = Connection::new(read, write, Protocol::V2, url.path.as_str(), host, ConnectMode::Process, false);
    Ok((Box::new(connection), complaint))
}

async fn open(
    url: &SshUrl,
    access: &SshAccess,
    networks: &Networks,
    times: Times,
    host: String,
) -> Result<(Handle<Gate>, ChannelReadHalf, ChannelWriteHalf<Msg>)> {
    let SshUrl { user, at, path } = url;
    let SshAccess { private_key, known_hosts } = access;
    let key = decode_secret_key(private_key.expose_secret(), None)
        .map_err(|error| Error::Invalid(format!("the SSH key is not usable: {error}")))?;
    let known = KnownHosts::parse(known_hosts, at)
        .map_err(|problem| Error::Invalid(format!("the known hosts are not usable: {problem}")))?;
    let stream =
        networks.dial(&at.host, at.port, times.connect).await.map_err(|error| match cause::<Forbidden>(&error) {
            Some(forbidden) => forbidden.clone().into(),
            None => Error::Unreachable { host: host.clone(), reason: error.to_string() },
        })?;
    let late = || Error::Timeout { host: host.clone(), what: "it lets nobody in", after: times.idle };
    let entered = timeout(times.idle, enter(user, Arc::new(key), known, stream, host.clone()));
    let session = entered.await.map_err(|_| late())??;
    let broken = |error: russh::Error| Error::Unreachable { host: host.clone(), reason: error.to_string() };
    let run = async {
        let channel = session.channel_open_session().await?;
        // A server that does not take it speaks an older version.
        channel.set_env(false, "GIT_PROTOCOL", "version=2").await?;
        channel.exec(true, format!("git-upload-pack '{}'", path.replace('\'', r"'\''"))).await?;
        Ok(channel.split())
    };
    let (reading, writing) = timeout(times.idle, run).await.map_err(|_| late())?.map_err(broken)?;
    Ok((session, reading, writing))
}

async fn enter(
    user: &str,
    key: Arc<PrivateKey>,
    known: KnownHosts,
    stream: tokio::net::TcpStream,
    host: String,
) -> Result<Handle<Gate>> {
    let mut preferred = russh::Preferred::DEFAULT;
    preferred.key = known.algorithms(&preferred.key).into();
    let config = client::Config { preferred, nodelay: true, ..client::Config::default() };
    let gate = Gate { known, host: host.clone() };
    let mut session = client::connect_stream(Arc::new(config), stream, gate)
        .await
        .map_err(|refused| refused.into_error(host.clone()))?;
    let broken = |error: russh::Error| Error::Unreachable { host: host.clone(), reason: error.to_string() };
    // Of RSA keys, servers take signatures by SHA-2 only; which one, they say.
    let hash = session.best_supported_rsa_hash().await.map_err(broken)?.flatten();
    let key = PrivateKeyWithHashAlg::new(key, hash);
    match session.authenticate_publickey(user, key).await.map_err(broken)? {
        AuthResult::Success => Ok(session),
        AuthResult::Failure { .. } => {
            let reason = format!("it does not accept the key in the Secret for the user {user}");
            Err(Error::NotAdmitted { host, reason })
        }
    }
}

/// Lets only servers in that are known.
struct Gate {
    known: KnownHosts,
    host: String,
}

/// Why there is no session.
#[derive(Debug)]
enum Refused {
    /// By us.
    Told(Error),
    /// By the library.
    Met(russh::Error),
}

impl Refused {
    fn into_error(self, host: String) -> Error {
        match self {
            Self::Told(error) => error,
            Self::Met(russh::Error::NoCommonAlgo { kind: russh::AlgorithmKind::Key, .. }) => {
                Error::NotTrusted { host, reason: "it has no host key of a kind that is known of it".to_owned() }
            }
            Self::Met(error) => Error::Unreachable { host, reason: error.to_string() },
        }
    }
}

impl From<russh::Error> for Refused {
    fn from(error: russh::Error) -> Self {
        Self::Met(error)
    }
}

impl client::Handler for Gate {
    type Error = Refused;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> std::result::Result<bool, Refused> {
        let key = match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => key.clone(),
            PublicKeyOrCertificate::Certificate(certificate) => PublicKey::from(certificate.public_key().clone()),
        };
        let fingerprint = key.fingerprint(HashAlg::Sha256);
        let refuse = |why: &str| {
            let reason = format!("its host key {fingerprint} {why}");
            Err(Refused::Told(Error::NotTrusted { host: self.host.clone(), reason }))
        };
        match self.known.judge(&key) {
            Verdict::Known => Ok(true),
            Verdict::Unknown => refuse("is not among the known hosts in the Secret"),
            Verdict::Revoked => refuse("is revoked"),
        }
    }
}

struct Reader {
    channel: ChannelReadHalf,
    /// The channel lives as long as its session.
    _session: Arc<Handle<Gate>>,
    line: Line,
    idle: Duration,
    said: Arc<Mutex<Said>>,
    rest: Bytes,
    ended: bool,
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() && !self.ended {
            let idle = self.idle;
            let late = || Error::Timeout { host: self.line.host(), what: "it sends nothing", after: idle };
            let channel = &mut self.channel;
            let message = self.line.wait(async { timeout(idle, channel.wait()).await.map_err(|_| late()) })?;
            match message {
                Some(ChannelMsg::Data { data }) => {
                    self.line.count(data.len())?;
                    self.rest = data;
                }
                Some(ChannelMsg::ExtendedData { data, .. }) => {
                    self.line.count(data.len())?;
                    let mut said = self.said.lock();
                    let room = COMPLAINT.saturating_sub(said.complaint.len());
                    said.complaint.extend(data.iter().take(room));
                }
                Some(ChannelMsg::ExitStatus { exit_status }) => self.said.lock().code = Some(exit_status),
                Some(ChannelMsg::Failure) => {
                    let reason = "it does not run git for this key".to_owned();
                    return Err(self.line.fail(Error::NotAdmitted { host: self.line.host(), reason }));
                }
                // What it complains of may come after the end of the answers.
                Some(ChannelMsg::Close) => self.ended = true,
                None if self.said.lock().code.is_some() => self.ended = true,
                None => {
                    let reason = "the connection broke".to_owned();
                    return Err(self.line.fail(Error::Unreachable { host: self.line.host(), reason }));
                }
                Some(_) => {}
            }
        }
        let count = self.rest.len().min(into.len());
        self.rest.copy_to_slice(into.get_mut(..count).unwrap_or_default());
        Ok(count)
    }
}

struct Writer {
    channel: ChannelWriteHalf<Msg>,
    _session: Arc<Handle<Gate>>,
    line: Line,
    idle: Duration,
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let host = || self.line.host();
        self.line.wait(async {
            let sent = timeout(self.idle, self.channel.data_bytes(Bytes::copy_from_slice(bytes))).await;
            sent.map_err(|_| Error::Timeout { host: host(), what: "it takes nothing", after: self.idle })?
                .map_err(|error| Error::Unreachable { host: host(), reason: error.to_string() })
        })?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
