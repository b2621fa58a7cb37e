//! The way to an engine through an SSH server: a session that is kept, and a channel for each connection.
//!
//! The server is asked to connect to the engine's socket. One that does not forward sockets is asked to run
//! `docker system dial-stdio`, as Docker's own client does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use russh::{
    Channel, ChannelMsg, ChannelStream,
    client::{self, AuthResult, Handle, Msg},
    keys::{PrivateKey, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate, decode_secret_key},
};
use secrecy::ExposeSecret;
use tokio::sync::Mutex;

use super::{
    Error, HostPort, Result, Ssh,
    containers::Tail,
    known_hosts::{KnownHosts, Verdict},
    transport::{ConnectFailure, dial},
};

/// How long a session is quiet before the server is asked whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// How much of what a command complains of is told.
const COMPLAINT: usize = 512;

/// How the server is entered.
pub(super) struct Entry {
    user: String,
    at: HostPort,
    socket: String,
    key: Arc<PrivateKey>,
    known: Arc<KnownHosts>,
    config: Arc<client::Config>,
}

impl Entry {
    pub(super) fn new(user: &str, at: &HostPort, socket: &str, access: &Ssh) -> Result<Self> {
        let Ssh { private_key, passphrase, known_hosts } = access;
        let passphrase = passphrase.as_ref().map(ExposeSecret::expose_secret);
        let key = decode_secret_key(private_key.expose_secret(), passphrase)
            .map_err(|error| Error::Invalid(format!("the SSH key is not usable: {error}")))?;
        let known = KnownHosts::parse(known_hosts, at)
            .map_err(|problem| Error::Invalid(format!("the SSH server's host keys are not usable: {problem}")))?;
        let mut preferred = russh::Preferred::DEFAULT;
        preferred.key = known.algorithms(&preferred.key).into();
        let config = client::Config {
            preferred,
            keepalive_interval: Some(KEEPALIVE),
            nodelay: true,
            ..client::Config::default()
        };
        Ok(Self {
            user: user.to_owned(),
            at: at.clone(),
            socket: socket.to_owned(),
            key: Arc::new(key),
            known: Arc::new(known),
            config: Arc::new(config),
        })
    }

    async fn enter(&self) -> std::result::Result<Session, ConnectFailure> {
        let stream = dial(&self.at).await?;
        let gate = Gate { known: self.known.clone() };
        let mut handle =
            client::connect_stream(self.config.clone(), stream, gate).await.map_err(|refused| refused.0)?;
        let broken = |error: russh::Error| ConnectFailure::Unreachable(error.to_string());
        // Of RSA keys, servers take signatures by SHA-2 only; which one, they say.
        let hash = handle.best_supported_rsa_hash().await.map_err(broken)?.flatten();
        let key = PrivateKeyWithHashAlg::new(self.key.clone(), hash);
        match handle.authenticate_publickey(self.user.clone(), key).await.map_err(broken)? {
            AuthResult::Success => Ok(Session { handle, has_docker: AtomicBool::new(false) }),
            AuthResult::Failure { partial_success: true, .. } => Err(ConnectFailure::NotAdmitted(format!(
                "it wants more of {} than a key, which is not supported",
                self.user
            ))),
            AuthResult::Failure { .. } => {
                Err(ConnectFailure::NotAdmitted(format!("it does not accept the key of {}", self.user)))
            }
        }
    }

    /// A connection to the engine, as a channel of the session.
    async fn channel(&self, session: &Session) -> std::result::Result<ChannelStream<Msg>, String> {
        let said = |error: russh::Error| error.to_string();
        match session.handle.channel_open_direct_streamlocal(self.socket.clone()).await {
            Ok(channel) => return Ok(channel.into_stream()),
            // Whether it forwards no sockets or has no such socket, a server does not tell.
            Err(russh::Error::ChannelOpenFailure(_)) => {}
            Err(error) => return Err(said(error)),
        }
        let docker = format!("docker -H 'unix://{}'", self.socket.replace('\'', r"'\''"));
        if !session.has_docker.load(Ordering::Relaxed) {
            session.run(&format!("{docker} version")).await?;
            session.has_docker.store(true, Ordering::Relaxed);
        }
        let mut channel = session.handle.channel_open_session().await.map_err(said)?;
        channel.exec(true, format!("{docker} system dial-stdio")).await.map_err(said)?;
        started(&mut channel).await.map_err(said)?;
        Ok(channel.into_stream())
    }
}

/// Waits until the server says that it runs the command.
async fn started(channel: &mut Channel<Msg>) -> std::result::Result<(), russh::Error> {
    loop {
        match channel.wait().await {
            Some(ChannelMsg::Success) => return Ok(()),
            Some(ChannelMsg::WindowAdjusted { .. }) => {}
            Some(_) => return Err(russh::Error::RequestDenied),
            None => return Err(russh::Error::HUP),
        }
    }
}

struct Session {
    handle: Handle<Gate>,
    /// Whether Docker's own command was seen to work over there.
    has_docker: AtomicBool,
}

impl Session {
    /// Runs a command that has to succeed.
    ///
    /// # Errors
    /// What it says.
    async fn run(&self, command: &str) -> std::result::Result<(), String> {
        let said = |error: russh::Error| error.to_string();
        let mut channel = self.handle.channel_open_session().await.map_err(said)?;
        channel.exec(true, command).await.map_err(said)?;
        let mut complaint = Tail::new(COMPLAINT);
        let mut code = None;
        while let Some(message) = channel.wait().await {
            match message {
                ChannelMsg::ExtendedData { data, .. } => complaint.push(&data),
                ChannelMsg::ExitStatus { exit_status } => code = Some(exit_status),
                _ => {}
            }
        }
        match code {
            Some(0) => Ok(()),
            _ => Err(format!("{command:?} fails: {}", complaint.into_text().trim())),
        }
    }
}

/// The session with the server, made anew when it ends.
pub(super) struct Tunnel {
    entry: Entry,
    session: Mutex<Option<Arc<Session>>>,
}

impl Tunnel {
    pub(super) fn new(entry: Entry) -> Self {
        Self { entry, session: Mutex::default() }
    }

    /// A connection to the engine.
    pub(super) async fn open(&self) -> std::result::Result<ChannelStream<Msg>, ConnectFailure> {
        let session = self.session().await?;
        match self.entry.channel(&session).await {
            Ok(channel) => Ok(channel),
            Err(error) => {
                // Whether it is the session's fault cannot be told.
                let mut current = self.session.lock().await;
                if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &session)) {
                    *current = None;
                }
                let socket = &self.entry.socket;
                Err(ConnectFailure::Unreachable(format!("no connection to {socket} over there: {error}")))
            }
        }
    }

    async fn session(&self) -> std::result::Result<Arc<Session>, ConnectFailure> {
        let mut current = self.session.lock().await;
        if let Some(session) = current.as_ref().filter(|session| !session.handle.is_closed()) {
            return Ok(session.clone());
        }
        let session = Arc::new(self.entry.enter().await?);
        *current = Some(session.clone());
        Ok(session)
    }
}

/// Lets only servers in that are known.
struct Gate {
    known: Arc<KnownHosts>,
}

/// Why there is no session.
#[derive(Debug)]
struct Refused(ConnectFailure);

impl From<russh::Error> for Refused {
    fn from(error: russh::Error) -> Self {
        Self(match &error {
            russh::Error::NoCommonAlgo { kind: russh::AlgorithmKind::Key, .. } => {
                ConnectFailure::NotTrusted("it has no host key of a kind that is known of it".to_owned())
            }
            _ => ConnectFailure::Unreachable(error.to_string()),
        })
    }
}

impl client::Handler for Gate {
    type Error = Refused;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> std::result::Result<bool, Refused> {
        let key = match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => key.clone(),
            PublicKeyOrCertificate::Certificate(certificate) => PublicKey::from(certificate.public_key().clone()),
        };
        let fingerprint = key.fingerprint(russh::keys::HashAlg::Sha256);
        let refuse = |why: &str| Err(Refused(ConnectFailure::NotTrusted(format!("its host key {fingerprint} {why}"))));
        match self.known.judge(&key) {
            Verdict::Known => Ok(true),
            Verdict::Unknown => refuse("is not among those that are known of it"),
            Verdict::Revoked => refuse("is revoked"),
        }
    }
}
