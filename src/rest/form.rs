//! The forms that clients send: read within limits, and checked field by field as FastAPI does it.

use std::{future::Future, ops::RangeInclusive, time::Duration};

use axum::{body::Body, extract::Request};
use futures::StreamExt;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use super::{
    fault::{Fault, integer},
    problem::Problem,
};
use crate::artifacts::Incoming;

/// The largest form without files, in bytes.
pub const MOST_BYTES: usize = 64 * 1024;
/// How long a client may take to send one, or the next piece of a file.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a client may take to send one with a file.
const UPLOAD_PATIENCE: Duration = Duration::from_secs(3600);
/// What a part of a form counts, besides what it holds.
const PART: usize = 64;

const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data";

/// The fields of a form, in the order in which they came.
#[derive(Debug, Default)]
pub struct Form(Vec<(String, Value)>);

#[derive(Debug)]
enum Value {
    Text(String),
    /// A file, by its name.
    File(String),
}

/// The files that a form may have.
#[derive(Clone, Copy)]
pub struct Files<'a> {
    /// Of how many forms a file is taken at the same time.
    pub turns: &'a Semaphore,
    /// What is told of one too many.
    pub busy: &'a str,
    /// The names of the field: there is one file, the last that comes.
    pub names: &'a [&'a str],
    /// How its name has to end, in lower case.
    pub ending: &'a str,
    /// What is told of one with another name.
    pub otherwise: &'a str,
    /// How many bytes it may have.
    pub most: u64,
}

impl<'a> Files<'a> {
    fn turn(&self) -> Result<SemaphorePermit<'a>, Problem> {
        self.turns.try_acquire().map_err(|_| Problem::unavailable(self.busy))
    }
}

/// What a form brought.
#[derive(Default)]
pub struct Brought<'a> {
    /// Its fields.
    pub form: Form,
    /// Its file, whole.
    pub file: Option<Incoming>,
    /// The turn that the file has, for as long as something is done with it.
    pub turn: Option<SemaphorePermit<'a>>,
}

/// Reads a form. Without one there are no fields.
///
/// # Errors
/// When it is too large, which is told before it is read if the client has said so; when it does not come; when it cannot
/// be understood.
pub async fn read(request: Request) -> Result<Form, Problem> {
    let reading = read_within(request, None);
    Ok(timeout(PATIENCE, reading).await.unwrap_or_else(|_| Err(late(PATIENCE)))?.form)
}

/// Reads a form that may have a file, which is kept in a temporary file and never whole in memory.
///
/// # Errors
/// As [`read`], and when the file has another name.
pub async fn read_with_files<'a>(request: Request, files: Files<'a>) -> Result<Brought<'a>, Problem> {
    let reading = read_within(request, Some(files));
    timeout(UPLOAD_PATIENCE, reading).await.unwrap_or_else(|_| Err(late(UPLOAD_PATIENCE)))
}

async fn read_within<'a>(request: Request, files: Option<Files<'a>>) -> Result<Brought<'a>, Problem> {
    let (parts, body) = request.into_parts();
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    let is_multipart = essence.eq_ignore_ascii_case(MULTIPART);
    let for_files = files.filter(|_| is_multipart).map_or(0, |files| files.most);
    let most = for_files.saturating_add(MOST_BYTES as u64);
    if content_length(&parts.headers).is_some_and(|length| length > most) {
        return Err(too_large(most));
    }
    if essence.eq_ignore_ascii_case(FORM) {
        Ok(Brought { form: urlencoded(body).await?, ..Brought::default() })
    } else if is_multipart {
        multipart(kind, body, most, files).await
    } else {
        Ok(Brought::default())
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(most: u64) -> Problem {
    Problem::Told(StatusCode::PAYLOAD_TOO_LARGE, format!("The body is larger than {most} bytes"))
}

fn late(limit: Duration) -> Problem {
    let told = format!("The body did not come within {} s", limit.as_secs());
    Problem::Told(StatusCode::REQUEST_TIMEOUT, told)
}

fn stalled() -> Problem {
    let told = format!("Nothing more of the body came for {} s", PATIENCE.as_secs());
    Problem::Told(StatusCode::REQUEST_TIMEOUT, told)
}

fn broken(why: &str) -> Problem {
    Problem::Told(StatusCode::BAD_REQUEST, why.to_owned())
}

async fn urlencoded(body: Body) -> Result<Form, Problem> {
    let body = Limited::new(body, MOST_BYTES).collect();
    let body = timeout(PATIENCE, body).await.map_err(|_| late(PATIENCE))?.map_err(|error| {
        if error.is::<LengthLimitError>() {
            too_large(MOST_BYTES as u64)
        } else {
            broken("There was an error parsing the body")
        }
    })?;
    let body = body.to_bytes();
    let fields = form_urlencoded::parse(&body).into_owned().map(|(name, text)| (name, Value::Text(text)));
    Ok(Form(fields.collect()))
}

async fn multipart<'a>(kind: &str, body: Body, most: u64, files: Option<Files<'a>>) -> Result<Brought<'a>, Problem> {
    let boundary = multer::parse_boundary(kind).map_err(|_| broken("Missing boundary in multipart."))?;
    let mut left = most;
    let mut large = false;
    let stream = body.into_data_stream().map(|chunk| {
        let chunk = chunk.map_err(std::io::Error::other)?;
        match left.checked_sub(chunk.len() as u64) {
            Some(rest) => left = rest,
            None => {
                large = true;
                return Err(std::io::Error::other("too large"));
            }
        }
        Ok(chunk)
    });
    let mut parts = Parts { parts: multer::Multipart::new(stream, boundary), left: MOST_BYTES, files };
    let read = parts.read().await;
    drop(parts);
    match read {
        Ok(brought) => Ok(brought),
        Err(Stop::Broken) if large => Err(too_large(most)),
        Err(Stop::Broken) => Err(broken("Invalid multipart data.")),
        Err(Stop::Problem(problem)) => Err(problem),
    }
}

/// Why a form is not read to its end.
enum Stop {
    Broken,
    Problem(Problem),
}

impl From<multer::Error> for Stop {
    fn from(_: multer::Error) -> Self {
        Self::Broken
    }
}

impl From<Problem> for Stop {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

/// The parts of a form.
struct Parts<'a, 'b> {
    parts: multer::Multipart<'b>,
    /// So many bytes may come of what is kept in memory.
    left: usize,
    files: Option<Files<'a>>,
}

impl<'a> Parts<'a, '_> {
    async fn read(&mut self) -> Result<Brought<'a>, Stop> {
        let mut brought = Brought::default();
        while let Some(part) = soon(self.parts.next_field()).await? {
            let name = part.name().unwrap_or_default().to_owned();
            let value = match part.file_name().map(str::to_owned) {
                // What browsers send for a field of which no file was chosen.
                Some(file) if file.is_empty() => {
                    self.text(part).await?;
                    Value::Text(String::new())
                }
                Some(file) => {
                    match self.files.filter(|files| files.names.contains(&name.as_str())) {
                        Some(files) => {
                            if brought.turn.is_none() {
                                brought.turn = Some(files.turn()?);
                            }
                            brought.file = Some(receive(part, &file, files).await?);
                        }
                        // It is passed over, within the limit.
                        None => drop(self.text(part).await?),
                    }
                    Value::File(file)
                }
                None => Value::Text(String::from_utf8_lossy(&self.text(part).await?).into_owned()),
            };
            brought.form.0.push((name, value));
        }
        Ok(brought)
    }

    async fn text(&mut self, mut part: multer::Field<'_>) -> Result<Vec<u8>, Stop> {
        let mut text = Vec::new();
        self.spend(PART)?;
        while let Some(piece) = soon(part.chunk()).await? {
            self.spend(piece.len())?;
            text.extend_from_slice(&piece);
        }
        Ok(text)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Problem> {
        self.left = self.left.checked_sub(bytes).ok_or_else(|| too_large(MOST_BYTES as u64))?;
        Ok(())
    }
}

/// The next of a form, if it comes soon.
async fn soon<T>(next: impl Future<Output = Result<T, multer::Error>>) -> Result<T, Stop> {
    Ok(timeout(PATIENCE, next).await.map_err(|_| stalled())??)
}

async fn receive(mut part: multer::Field<'_>, name: &str, files: Files<'_>) -> Result<Incoming, Stop> {
    if !name.to_ascii_lowercase().ends_with(files.ending) {
        return Err(broken(files.otherwise).into());
    }
    let mut incoming = Incoming::begin(files.most).map_err(Problem::from)?;
    while let Some(piece) = soon(part.chunk()).await? {
        incoming.write(&piece).await.map_err(Problem::from)?;
    }
    Ok(incoming)
}

/// What is wrong with a field that holds a file.
type NoFile = fn((&str, &str), &str) -> Fault;

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
    fn find(&mut self, names: &[&'static str], no_file: NoFile) -> Option<(&'static str, &'a str)> {
        for name in names {
            let last = self.form.0.iter().rev().find(|(given, _)| given == name);
            match last.map(|(_, value)| value) {
                Some(Value::Text(text)) if !text.is_empty() => return Some((name, text)),
                Some(Value::File(file)) => {
                    self.faults.push(no_file((self.part, name), file));
                    return None;
                }
                Some(Value::Text(_)) | None => {}
            }
        }
        None
    }

    /// A text that may be missing, of so many characters at most.
    pub fn optional(&mut self, names: &[&'static str], most: usize) -> Option<&'a str> {
        let (name, text) = self.find(names, Fault::no_text)?;
        if text.chars().count() > most {
            self.faults.push(Fault::too_long((self.part, name), most, text));
            return None;
        }
        Some(text)
    }

    /// A text that may be missing, of so many characters, which no answer repeats.
    pub fn secret(&mut self, name: &'static str, range: RangeInclusive<usize>) -> Option<&'a str> {
        let (name, text) = self.find(&[name], |at, file| Fault::no_text(at, file).unsaid())?;
        let (at, length) = ((self.part, name), text.chars().count());
        let fault = if length < *range.start() {
            Fault::too_short(at, *range.start(), text)
        } else if length > *range.end() {
            Fault::too_long(at, *range.end(), text)
        } else {
            return Some(text);
        };
        self.faults.push(fault.unsaid());
        None
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

    /// All values of the names, those that are empty aside.
    pub fn all(&mut self, names: &[&'static str]) -> Vec<&'a str> {
        let mut values = Vec::new();
        for (given, value) in &self.form.0 {
            let Some(name) = names.iter().find(|name| *name == given) else { continue };
            match value {
                Value::Text(text) if text.is_empty() => {}
                Value::Text(text) => values.push(text.as_str()),
                Value::File(file) => self.faults.push(Fault::no_text((self.part, name), file)),
            }
        }
        values
    }

    /// A file that may be missing, and whether there is one.
    pub fn file(&mut self, names: &[&'static str]) -> bool {
        let mut found = false;
        for (given, value) in &self.form.0 {
            let Some(name) = names.iter().find(|name| *name == given) else { continue };
            match value {
                Value::Text(text) if text.is_empty() => {}
                Value::Text(text) => {
                    let why = "Expected UploadFile, received: <class 'str'>";
                    self.faults.push(Fault::value((self.part, name), why, text));
                }
                Value::File(_) => found = true,
            }
        }
        found
    }

    /// A whole number; `default` where it is missing.
    pub fn number(&mut self, name: &'static str, default: i64, range: RangeInclusive<i64>) -> i64 {
        let Some((name, text)) = self.find(&[name], Fault::no_number) else { return default };
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
