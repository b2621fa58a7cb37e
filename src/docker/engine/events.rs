//! The engine's stream of events.
//!
//! Asked for past the library, which does not tell when the answer begins: only then what is listed and what is
//! told leave no gap between them.

use bollard::models::EventMessage;
use bytes::{Buf, Bytes, BytesMut};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::{client::legacy, rt::TokioExecutor};
use jiff::Timestamp;
use tokio::time::timeout;

use super::{
    Call, Engine, Error, Request, Result,
    transport::{BASE, Connector},
};

/// The longest event that is believed; labels are part of it.
const LONGEST: usize = 4 << 20;
/// How much of a refusal is read.
const LONGEST_REFUSAL: usize = 64 << 10;

pub(super) type Inner = legacy::Client<Connector, Empty<Bytes>>;

/// Has a connection for each stream.
#[derive(Clone)]
pub(super) struct Client(Inner);

impl Client {
    pub(super) fn new(connector: Connector) -> Self {
        Self(legacy::Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector))
    }
}

/// What is told from now on.
pub struct Events {
    request: Request,
    body: Incoming,
    read: BytesMut,
}

impl Engine {
    /// Subscribes to events of these types (`container`, …) and actions (`start`, …). When this returns, what happens
    /// next is told; and what happened since then, by the engine's clock, as far as the engine remembers it (its last
    /// 256 events).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn subscribe(&self, since: Option<Timestamp>, types: &[&str], actions: &[&str]) -> Result<Events> {
        let request = Call::Events.of("");
        let get = http::Request::get(address(since, types, actions))
            .body(Empty::new())
            .map_err(|error| Error::Invalid(error.to_string()))?;
        let limit = self.limits.read;
        let answer = async {
            let answer = self
                .events
                .0
                .request(get)
                .await
                .map_err(|error| Error::from_library(&self.endpoint, request.clone(), error.into()))?;
            let status = answer.status();
            if status.is_success() {
                return Ok(answer.into_body());
            }
            let body = http_body_util::Limited::new(answer.into_body(), LONGEST_REFUSAL).collect().await;
            let body = body.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            let text = match serde_json::from_slice::<serde_json::Value>(&body) {
                Ok(value) => value.get("message").and_then(|text| text.as_str()).map(str::to_owned),
                Err(_) => None,
            };
            let text = text.unwrap_or_else(|| format!("status {status}"));
            Err(Error::refused(request.clone(), Some(status.as_u16()), text))
        };
        match timeout(limit, answer).await {
            Ok(body) => Ok(Events { body: body?, request, read: BytesMut::new() }),
            Err(_) => Err(Error::Timeout { request, after: limit }),
        }
    }
}

fn address(since: Option<Timestamp>, types: &[&str], actions: &[&str]) -> String {
    let filters = serde_json::json!({ "type": types, "event": actions }).to_string();
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("filters", &filters);
    if let Some(since) = since {
        // Seconds since 1970: the engine takes no other form with parts of a second.
        query.append_pair("since", &format!("{}.{:09}", since.as_second(), since.subsec_nanosecond()));
    }
    format!("{BASE}/events?{}", query.finish())
}

impl Events {
    /// The next event; an error when the stream ends, since it has no end of its own. Safe to drop and to call again.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn next(&mut self) -> Result<EventMessage> {
        loop {
            if let Some(event) = self.take()? {
                return Ok(event);
            }
            let lost = |reason: String| Error::ReplyLost { request: self.request.clone(), reason };
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.read.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => return Err(lost(error.to_string())),
                None => return Err(lost("the engine ended the stream of events".to_owned())),
            }
            if self.read.len() > LONGEST {
                return Err(self.decode("an event has no end"));
            }
        }
    }

    /// An event that has been read in full.
    fn take(&mut self) -> Result<Option<EventMessage>> {
        let mut values = serde_json::Deserializer::from_slice(&self.read).into_iter::<EventMessage>();
        let (event, used) = match values.next() {
            None => return Ok(None),
            Some(Ok(event)) => (event, values.byte_offset()),
            Some(Err(error)) if error.is_eof() => return Ok(None),
            Some(Err(error)) => return Err(self.decode(&error.to_string())),
        };
        self.read.advance(used);
        Ok(Some(event))
    }

    fn decode(&self, reason: &str) -> Error {
        Error::Decode { request: self.request.clone(), reason: reason.to_owned() }
    }
}
