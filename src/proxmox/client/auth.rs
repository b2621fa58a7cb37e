//! Who we are to Proxmox: a token, or a ticket that is renewed.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::{sync::Mutex, time::Instant};

use super::{
    ApiError, Client, Credentials, Error, Result,
    form::Params,
    transport::{LOGIN, Outgoing, repeated},
};

const CSRF: HeaderName = HeaderName::from_static("csrfpreventiontoken");

pub(super) enum Auth {
    Token(HeaderValue),
    Ticket { user: String, password: SecretString, session: Mutex<Option<Session>> },
}

/// What a login gave.
#[derive(Clone)]
pub(super) struct Session {
    cookie: HeaderValue,
    csrf: HeaderValue,
    since: Instant,
}

/// The answer to a login.
#[derive(Deserialize)]
struct Login {
    ticket: Option<String>,
    #[serde(rename = "CSRFPreventionToken")]
    csrf: Option<String>,
    #[serde(rename = "NeedTFA", default)]
    needs_second_factor: Option<serde_json::Value>,
}

/// The headers of a request, and when their ticket was got.
pub(super) struct Proof {
    pub headers: HeaderMap,
    ticket: Option<Instant>,
}

impl Auth {
    pub fn new(credentials: Credentials) -> Result<Self> {
        Ok(match credentials {
            Credentials::Token { id, secret } => {
                let value = format!("PVEAPIToken={id}={}", secret.expose_secret());
                Self::Token(secret_header(&value, "the API token")?)
            }
            Credentials::Password { user, password } => Self::Ticket { user, password, session: Mutex::new(None) },
        })
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Auth(…)")
    }
}

fn secret_header(value: &str, what: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| Error::Settings(format!("{what} holds characters that cannot be sent")))?;
    value.set_sensitive(true);
    Ok(value)
}

impl Client {
    /// The headers that prove who we are. `stale` is the proof that was refused, if one was.
    pub(super) async fn prove(&self, method: &Method, stale: Option<&Proof>) -> Result<Proof> {
        let mut headers = HeaderMap::new();
        let (user, password, session) = match &self.auth {
            Auth::Token(token) => {
                headers.insert(header::AUTHORIZATION, token.clone());
                return Ok(Proof { headers, ticket: None });
            }
            Auth::Ticket { user, password, session } => (user, password, session),
        };
        // Held while logging in, so that many requests at once make one login.
        let mut session = session.lock().await;
        let usable = session.as_ref().filter(|session| {
            session.since.elapsed() < self.timeouts.ticket_age
                && stale.is_none_or(|proof| proof.ticket != Some(session.since))
        });
        let fresh = match usable {
            Some(session) => session.clone(),
            None => self.log_in(user, password).await?,
        };
        headers.insert(header::COOKIE, fresh.cookie.clone());
        if method != Method::GET {
            headers.insert(CSRF, fresh.csrf.clone());
        }
        let ticket = Some(fresh.since);
        *session = Some(fresh);
        Ok(Proof { headers, ticket })
    }

    /// Whether a refusal may be due to a ticket that is no longer good, so that a new one helps.
    pub(super) fn may_renew(&self, error: &Error) -> bool {
        matches!(self.auth, Auth::Ticket { .. }) && error.is_auth()
    }

    /// Without a ticket nothing was asked for, so a write that needed it certainly had no effect.
    fn before_the_request(&self, error: Error) -> Error {
        match error {
            Error::ReplyLost { .. } | Error::Timeout { .. } | Error::Decode { .. } => {
                Error::Unreachable { endpoint: self.endpoint_names(), reason: error.to_string() }
            }
            Error::Api(_)
            | Error::Fingerprint { .. }
            | Error::Certificate { .. }
            | Error::Unreachable { .. }
            | Error::Settings(_) => error,
        }
    }

    async fn log_in(&self, user: &str, password: &SecretString) -> Result<Session> {
        let request = Outgoing {
            method: Method::POST,
            path: LOGIN,
            params: Params::new().set("username", user).set("password", password.expose_secret()),
        };
        let nobody = HeaderMap::new();
        let login: Login =
            repeated(|| self.send(&request, &nobody)).await.map_err(|error| self.before_the_request(error))?;
        if login.needs_second_factor.is_some() {
            return Err(ApiError {
                request: request.name(),
                status: 401,
                text: "the user needs a second factor: use an API token".to_owned(),
                fields: Default::default(),
            }
            .into());
        }
        let (Some(ticket), Some(csrf)) = (login.ticket, login.csrf) else {
            return Err(self.before_the_request(Error::Decode {
                request: request.name(),
                reason: "it holds no ticket".to_owned(),
            }));
        };
        Ok(Session {
            cookie: secret_header(&format!("PVEAuthCookie={ticket}"), "the ticket")?,
            csrf: secret_header(&csrf, "the CSRF token")?,
            since: Instant::now(),
        })
    }
}
