//! How answers look: as objects, tables or metadata only, as the `Accept` header wants them.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::Query;
use crate::standalone::plane::from_stored;
use crate::standalone::registry::Kind;
use crate::standalone::status::ApiError;
use crate::standalone::store::Record;
use crate::standalone::table::{self, Include};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Object,
    Table(Include),
    Partial,
}

/// What the client wants to see.
#[derive(Debug, Clone)]
pub struct View {
    pub kind: Arc<Kind>,
    pub form: Form,
    yaml: bool,
}

impl View {
    /// # Errors
    /// The client accepts nothing that is served.
    pub fn wanted(kind: &Arc<Kind>, headers: &HeaderMap, query: &Query) -> Result<Self, ApiError> {
        let view = |form, yaml| Self { kind: Arc::clone(kind), form, yaml };
        let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        if accept.is_empty() {
            return Ok(view(Form::Object, false));
        }
        for choice in accept.split(',') {
            let mut parts = choice.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            let (mut shape, mut version, mut group) = ("", "", "");
            for part in parts {
                match part.split_once('=') {
                    Some(("as", value)) => shape = value,
                    Some(("v", value)) => version = value,
                    Some(("g", value)) => group = value,
                    _ => {}
                }
            }
            let yaml = media == "application/yaml";
            let json = matches!(media, "application/json" | "application/*" | "*/*");
            if !yaml && !json {
                continue;
            }
            let meta = group == "meta.k8s.io" && version == "v1";
            let form = match shape {
                "" => Form::Object,
                "Table" if meta && json => Form::Table(included(query)?),
                "PartialObjectMetadata" | "PartialObjectMetadataList" if meta => Form::Partial,
                _ => continue,
            };
            return Ok(view(form, yaml));
        }
        Err(ApiError::not_acceptable())
    }

    /// One object, serialised.
    pub fn object(&self, record: &Record) -> Bytes {
        match self.form {
            Form::Object if self.shows_as_stored() => record.json.clone(),
            _ => self.render(&record.value).to_string().into(),
        }
    }

    fn shows_as_stored(&self) -> bool {
        self.kind.api_version() == self.kind.stored_as
    }

    /// One object, stored or not yet.
    pub fn render(&self, stored: &Value) -> Value {
        match self.form {
            Form::Object => from_stored(&self.kind, stored.clone()),
            Form::Partial => table::partial(stored),
            Form::Table(include) => {
                let revision = stored.pointer("/metadata/resourceVersion");
                json!({
                    "kind": "Table",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": { "resourceVersion": revision },
                    "columnDefinitions": table::definitions(&self.kind),
                    "rows": [self.row(stored, include)],
                })
            }
        }
    }

    fn row(&self, stored: &Value, include: Include) -> Value {
        let shown = || from_stored(&self.kind, stored.clone());
        table::row(&self.kind, stored, shown, include)
    }

    /// A list, serialised. `metadata` is the list's.
    pub fn list(&self, records: &[Arc<Record>], metadata: &Value) -> Bytes {
        let (kind, version) = match self.form {
            Form::Object => (self.kind.list_kind.clone(), self.kind.api_version()),
            Form::Partial => ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1".to_owned()),
            Form::Table(include) => {
                let rows: Vec<Value> = records.iter().map(|record| self.row(&record.value, include)).collect();
                let table = json!({
                    "kind": "Table",
                    "apiVersion": "meta.k8s.io/v1",
                    "metadata": metadata,
                    "columnDefinitions": table::definitions(&self.kind),
                    "rows": rows,
                });
                return table.to_string().into();
            }
        };
        // The items are serialised already; only the frame is made here.
        let frame = json!({ "kind": kind, "apiVersion": version, "metadata": metadata });
        let mut text = frame.to_string().into_bytes();
        text.pop();
        text.extend_from_slice(b",\"items\":[");
        for (index, record) in records.iter().enumerate() {
            if index > 0 {
                text.push(b',');
            }
            text.extend_from_slice(&self.object(record));
        }
        text.extend_from_slice(b"]}");
        text.into()
    }

    pub fn respond(&self, code: StatusCode, json: Bytes, warnings: &[String]) -> Response {
        let (media, body) = if self.yaml { ("application/yaml", as_yaml(&json)) } else { ("application/json", json) };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = code;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
        for warning in warnings {
            let warning = warning.replace('\\', "\\\\").replace('"', "\\\"");
            if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{warning}\"")) {
                headers.append(header::WARNING, value);
            }
        }
        response
    }
}

fn included(query: &Query) -> Result<Include, ApiError> {
    match query.text("includeObject") {
        "" | "Metadata" => Ok(Include::Metadata),
        "None" => Ok(Include::Nothing),
        "Object" => Ok(Include::Object),
        other => Err(ApiError::bad_request(format!(
            "invalid value {other:?} of includeObject: one of None, Metadata, Object is expected"
        ))),
    }
}

fn as_yaml(json: &Bytes) -> Bytes {
    serde_json::from_slice::<Value>(json)
        .ok()
        .and_then(|value| serde_saphyr::to_string(&value).ok())
        .map_or_else(|| json.clone(), Bytes::from)
}
