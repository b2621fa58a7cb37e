//! A client that holds every exchange to the document.

use reqwest::{
    Method,
    header::{ALLOW, CONTENT_TYPE, LOCATION, RETRY_AFTER},
};
use serde_json::Value;

use super::document::{Exchange, hold};

/// The media type of forms.
pub const FORM: &str = "application/x-www-form-urlencoded";

/// Calls the API with a key, or without.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    key: Option<String>,
}

/// A part of a multipart form.
pub struct Part<'a> {
    pub name: &'a str,
    /// The name of the file that it is.
    pub file: Option<&'a str>,
    pub content: &'a [u8],
}

/// A part with a text.
pub fn text<'a>(name: &'a str, content: &'a str) -> Part<'a> {
    Part { name, file: None, content: content.as_bytes() }
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
    pub allow: Option<String>,
    pub location: Option<String>,
    pub retry_after: Option<String>,
}

impl Client {
    pub fn new(url: &str, key: Option<&str>) -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { http, url: url.to_owned(), key: key.map(str::to_owned) }
    }

    /// The same without a key.
    pub fn nameless(&self) -> Self {
        Self { key: None, ..self.clone() }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await
    }

    pub async fn post(&self, path: &str) -> Answer {
        self.send(Method::POST, path, &[], "").await
    }

    pub async fn form(&self, path: &str, form: &str) -> Answer {
        self.send(Method::POST, path, &[(CONTENT_TYPE.as_str(), FORM)], form).await
    }

    /// A form with an idempotency key.
    pub async fn once(&self, path: &str, key: &str, form: &str) -> Answer {
        let headers = [(CONTENT_TYPE.as_str(), FORM), ("Idempotency-Key", key)];
        self.send(Method::POST, path, &headers, form).await
    }

    /// A multipart form.
    pub async fn multipart(&self, path: &str, parts: &[Part<'_>]) -> Answer {
        let mut body = Vec::new();
        for Part { name, file, content } in parts {
            let file = file.map(|file| format!("; filename=\"{file}\"")).unwrap_or_default();
            body.extend(format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n").into_bytes());
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--B--\r\n");
        let headers = [(CONTENT_TYPE.as_str(), "multipart/form-data; boundary=B")];
        self.send_bytes(Method::POST, path, &headers, body).await
    }

    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.send_bytes(method, path, headers, body.as_bytes().to_vec()).await
    }

    async fn send_bytes(&self, method: Method, path: &str, headers: &[(&str, &str)], bytes: Vec<u8>) -> Answer {
        let body = &*String::from_utf8_lossy(&bytes).into_owned();
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.url)).body(bytes);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(key) = &self.key {
            request = request.header("X-API-Key", key);
        }
        let response = request.send().await.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"));
        let status = response.status().as_u16();
        let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (allow, retry_after, kind) = (header(ALLOW), header(RETRY_AFTER), header(CONTENT_TYPE));
        let location = header(LOCATION);
        let text = response.text().await.unwrap();
        let answered = serde_json::from_str(&text).unwrap_or(Value::String(text));
        let answer = Answer { status, body: answered, allow, location, retry_after };
        hold(&Exchange { method: method.as_str(), path, headers, body, kind: kind.as_deref(), answer: &answer });
        answer
    }
}
