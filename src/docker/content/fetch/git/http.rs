//! Git over HTTP, by our own client.

use std::{
    any::Any,
    io::{self, BufRead, Cursor, Read, Write},
    sync::Arc,
};

use ::http::{HeaderMap, HeaderName, HeaderValue, header};
use bytes::{Buf, Bytes};
use gix_error::ResultExt;
use gix_transport::{
    Protocol,
    client::blocking_io::{
        Transport,
        http::{self, GetResponse, Http, PostBodyDataKind, PostResponse},
    },
};
use parking_lot::Mutex;
use reqwest::{Method, Response, Url};

use super::{
    super::Error,
    super::http::{Client, Credentials, Outgoing},
    line::Line,
};

/// How the repository's own address ends when its references are asked for.
const REFERENCES: &str = "/info/refs";

/// A connection to a repository over HTTP.
pub(super) fn connect(
    url: &Url,
    client: Client,
    credentials: Option<Credentials>,
    line: Line,
) -> Result<Box<dyn Transport>, Error> {
    let Ok(parsed) = url.as_str().try_into() else {
        return Err(line.protocol("the library does not understand its URL"));
    };
    let wire = Wire { client, credentials, line, base: None };
    Ok(Box::new(http::Transport::new_http(wire, parsed, Protocol::V2, false)))
}

struct Wire {
    client: Client,
    credentials: Option<Credentials>,
    line: Line,
    /// Where the repository is, once we were sent elsewhere.
    base: Option<String>,
}

impl Wire {
    fn send(&self, method: Method, url: &str, headers: HeaderMap, body: Bytes) -> io::Result<Response> {
        let follow = method == Method::GET;
        let url = Url::parse(url).map_err(io::Error::other)?;
        let credentials = self.credentials.as_ref();
        self.line.wait(self.client.send(Outgoing { method, url, headers, body, credentials, follow }))
    }

    /// Follows when the repository is elsewhere, as git does: what comes next is asked for there.
    fn note(&mut self, asked: &str, answered: &Url) -> io::Result<()> {
        if answered.as_str() == asked {
            return Ok(());
        }
        let mut base = answered.clone();
        base.set_query(None);
        let Some(path) = base.path().strip_suffix(REFERENCES).map(str::to_owned) else {
            let reason = format!("it redirects to {}, which is no repository", base.path());
            return Err(self.line.fail(self.line.protocol(&reason)));
        };
        base.set_path(&path);
        self.base = Some(base.into());
        Ok(())
    }
}

impl Http for Wire {
    type Headers = Head;
    type ResponseBody = Body;
    type PostBody = Post;

    fn get(
        &mut self,
        url: &str,
        _base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> gix_error::Result<GetResponse<Head, Body>> {
        let headers = parse(headers).or_error()?;
        let response = self.send(Method::GET, url, headers, Bytes::new()).or_error()?;
        self.note(url, response.url()).or_error()?;
        let head = Head::Here(Cursor::new(kind(&response)));
        let from = Arc::new(Mutex::new(Some(response)));
        let body = Body { client: self.client.clone(), line: self.line.clone(), from, rest: Bytes::new() };
        Ok(GetResponse { headers: head, body })
    }

    fn post(
        &mut self,
        url: &str,
        _base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
        _kind: PostBodyDataKind,
    ) -> gix_error::Result<PostResponse<Head, Body, Post>> {
        let headers = parse(headers).or_error()?;
        let content = Arc::new(Mutex::new(Vec::new()));
        let from = Arc::new(Mutex::new(None));
        let wire = Self {
            client: self.client.clone(),
            credentials: self.credentials.clone(),
            line: self.line.clone(),
            base: None,
        };
        let body =
            Body { client: self.client.clone(), line: self.line.clone(), from: from.clone(), rest: Bytes::new() };
        let later = Later { wire, url: url.to_owned(), headers, content: content.clone(), into: from };
        Ok(PostResponse { post_body: Post(content), headers: Head::Later(Box::new(later)), body })
    }

    fn configure(&mut self, _config: &dyn Any) -> gix_error::Result<()> {
        Ok(())
    }

    fn redirected_base_url(&self) -> Option<String> {
        self.base.clone()
    }
}

fn parse(lines: impl IntoIterator<Item = impl AsRef<str>>) -> io::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for line in lines {
        if let Some((name, value)) = line.as_ref().split_once(':') {
            let name: HeaderName = name.parse().map_err(io::Error::other)?;
            let value: HeaderValue = value.trim().parse().map_err(io::Error::other)?;
            // Some servers speak to clients only that say they are git, which our own name does.
            if name != header::USER_AGENT {
                headers.insert(name, value);
            }
        }
    }
    Ok(headers)
}

/// The only header that the library looks at.
fn kind(response: &Response) -> Vec<u8> {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    format!("content-type: {kind}\n").into_bytes()
}

/// What is posted: little, so it is collected first.
struct Post(Arc<Mutex<Vec<u8>>>);

impl Write for Post {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The head of an answer.
enum Head {
    Here(Cursor<Vec<u8>>),
    /// It is asked for when the library looks, which it does when it has written everything.
    Later(Box<Later>),
}

struct Later {
    wire: Wire,
    url: String,
    headers: HeaderMap,
    content: Arc<Mutex<Vec<u8>>>,
    into: Arc<Mutex<Option<Response>>>,
}

impl Head {
    fn here(&mut self) -> io::Result<&mut Cursor<Vec<u8>>> {
        if let Self::Later(later) = self {
            let Later { wire, url, headers, content, into } = later.as_ref();
            let content = std::mem::take(&mut *content.lock());
            let response = wire.send(Method::POST, url, headers.clone(), content.into())?;
            let head = kind(&response);
            *into.lock() = Some(response);
            *self = Self::Here(Cursor::new(head));
        }
        match self {
            Self::Here(head) => Ok(head),
            Self::Later(_) => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Read for Head {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.here()?.read(into)
    }
}

impl BufRead for Head {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.here()?.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        if let Self::Here(head) = self {
            head.consume(amount);
        }
    }
}

/// The body of an answer, as it comes.
struct Body {
    client: Client,
    line: Line,
    from: Arc<Mutex<Option<Response>>>,
    rest: Bytes,
}

impl BufRead for Body {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.rest.is_empty() {
            let Some(mut response) = self.from.lock().take() else { break };
            if let Some(piece) = self.line.wait(self.client.piece(&mut response))? {
                self.line.count(piece.len())?;
                self.rest = piece;
                *self.from.lock() = Some(response);
            }
        }
        Ok(&self.rest)
    }

    fn consume(&mut self, amount: usize) {
        self.rest.advance(amount.min(self.rest.len()));
    }
}

impl Read for Body {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut here = self.fill_buf()?;
        let count = here.read(into)?;
        self.consume(count);
        Ok(count)
    }
}
