//! The forms that clients send: read within limits, and checked field by field as FastAPI does it.

use std::{ops::RangeInclusive, time::Duration};

use axum::{body::Body, extract::Request};
use futures::StreamExt;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;

use super::{
    fault::{Fault, integer},
    problem::Problem,
};

/// The largest form without files, in bytes.
pub const MOST_BYTES: usize = 64 * 1024;
/// How long a client may take to send one.
const PATIENCE: Duration = Duration::from_secs(30);

const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data";

/// The fields of a form, in the order in which they came.
#[derive(Debug, Default)]
pub struct Form(Vec<(String, Value)>);

#[derive(Debug)]
enum Value {
    Text(String),
    /// A file, by its name: no field of a form without files is one.
    File(String),
}

/// Reads a form. Without one there are no fields.
///
/// # Errors
/// When it is too large, which is told before it is read if the client has said so; when it does not come; when it cannot
/// be understood.
pub async fn read(request: Request) -> Result<Form, Problem> {
    let (parts, body) = request.into_parts();
    if content_length(&parts.headers).is_some_and(|length| length > MOST_BYTES as u64) {
        return Err(too_large());
    }
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    let reading = async {
        if essence.eq_ignore_ascii_case(FORM) {
            urlencoded(body).await
        } else if essence.eq_ignore_ascii_case(MULTIPART) {
            multipart(kind, body).await
        } else {
            Ok(Form::default())
        }
    };
    timeout(PATIENCE, reading).await.unwrap_or_else(|_| {
        let told = format!("The body did not come within {} s", PATIENCE.as_secs());
        Err(Problem::Told(StatusCode::REQUEST_TIMEOUT, told))
    })
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large() -> Problem {
    Problem::Told(StatusCode::PAYLOAD_TOO_LARGE, format!("The body is larger than {MOST_BYTES} bytes"))
}

fn broken(why: &str) -> Problem {
    Problem::Told(StatusCode::BAD_REQUEST, why.to_owned())
}

async fn urlencoded(body: Body) -> Result<Form, Problem> {
    let body = Limited::new(body, MOST_BYTES).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() { too_large() } else { broken("There was an error parsing the body") }
    })?;
    let body = body.to_bytes();
    let fields = form_urlencoded::parse(&body).into_owned().map(|(name, text)| (name, Value::Text(text)));
    Ok(Form(fields.collect()))
}

async fn multipart(kind: &str, body: Body) -> Result<Form, Problem> {
    let boundary = multer::parse_boundary(kind).map_err(|_| broken("Missing boundary in multipart."))?;
    let mut left = MOST_BYTES;
    let mut large = false;
    let stream = body.into_data_stream().map(|chunk| {
        let chunk = chunk.map_err(std::io::Error::other)?;
        match left.checked_sub(chunk.len()) {
            Some(rest) => left = rest,
            None => {
                large = true;
                return Err(std::io::Error::other("too large"));
            }
        }
        Ok(chunk)
    });
    let read = fields(multer::Multipart::new(stream, boundary)).await;
    match read {
        Ok(form) => Ok(form),
        Err(_) if large => Err(too_large()),
        Err(_) => Err(broken("Invalid multipart data.")),
    }
}

async fn fields(mut parts: multer::Multipart<'_>) -> Result<Form, multer::Error> {
    let mut form = Form::default();
    while let Some(part) = parts.next_field().await? {
        let name = part.name().unwrap_or_default().to_owned();
        let value = match part.file_name().map(str::to_owned) {
            Some(file) => {
                // It is passed over, within the limit.
                part.bytes().await?;
                Value::File(file)
            }
            None => Value::Text(part.text().await?),
        };
        form.0.push((name, value));
    }
    Ok(form)
}

/// A form, or a query, that is being checked: what is wrong is collected, in the order of the fields.
pub struct Fields<'a> {
    part: &'static str,
    form: &'a Form,
    faults: Vec<Fault>,
}

impl<'a> Fields<'a> {
    /// The fields of a form.
    pub fn of(form: &'a Form) -> Self {
        Self { part: "body", form, faults: Vec::new() }
    }

    /// The last value of the first name that has one; an empty one counts as none, as in FastAPI.
    fn find(&mut self, names: &[&'static str]) -> Option<(&'static str, &'a str)> {
        for name in names {
            let last = self.form.0.iter().rev().find(|(given, _)| given == name);
            match last.map(|(_, value)| value) {
                Some(Value::Text(text)) if !text.is_empty() => return Some((name, text)),
                Some(Value::File(file)) => {
                    self.faults.push(Fault::no_text((self.part, name), file));
                    return None;
                }
                Some(Value::Text(_)) | None => {}
            }
        }
        None
    }

    /// A text that may be missing, of so many characters at most.
    pub fn optional(&mut self, names: &[&'static str], most: usize) -> Option<&'a str> {
        let (name, text) = self.find(names)?;
        if text.chars().count() > most {
            self.faults.push(Fault::too_long((self.part, name), most, text));
            return None;
        }
        Some(text)
    }

    /// A text that has to be there.
    pub fn required(&mut self, names: &[&'static str], most: usize) -> Option<&'a str> {
        let before = self.faults.len();
        let found = self.optional(names, most);
        if found.is_none()
            && self.faults.len() == before
            && let Some(name) = names.first()
        {
            self.faults.push(Fault::missing((self.part, name)));
        }
        found
    }

    /// A whole number; `default` where it is missing.
    pub fn number(&mut self, name: &'static str, default: i64, range: RangeInclusive<i64>) -> i64 {
        let Some((name, text)) = self.find(&[name]) else { return default };
        match integer((self.part, name), text, range) {
            Ok(number) => number,
            Err(fault) => {
                self.faults.push(fault);
                default
            }
        }
    }

    /// The first of the names that has a value, or the first of all, where a fault is to be told of it.
    pub fn place(&self, names: &[&'static str]) -> (&'static str, &'static str) {
        let given = names.iter().find(|name| {
            self.form
                .0
                .iter()
                .any(|(given, value)| given == *name && !matches!(value, Value::Text(text) if text.is_empty()))
        });
        (self.part, given.or(names.first()).copied().unwrap_or_default())
    }

    /// Notes what else is wrong.
    pub fn push(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// What is wrong.
    pub fn faults(self) -> Vec<Fault> {
        self.faults
    }
}
