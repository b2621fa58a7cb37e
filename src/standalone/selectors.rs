//! Label and field selectors, as list, watch and deletecollection take them.

use serde_json::{Map, Value};

use super::registry::{Kind, Origin};
use super::status::ApiError;

/// What a request narrows its objects to.
#[derive(Debug, Default, Clone)]
pub struct Selector {
    labels: Vec<LabelRule>,
    fields: Vec<FieldRule>,
}

#[derive(Debug, Clone)]
struct LabelRule {
    key: String,
    test: Test,
}

#[derive(Debug, Clone)]
enum Test {
    Exists,
    Missing,
    In(Vec<String>),
    NotIn(Vec<String>),
    Above(i64),
    Below(i64),
}

#[derive(Debug, Clone)]
struct FieldRule {
    path: String,
    value: String,
    equal: bool,
}

impl Selector {
    /// # Errors
    /// A selector cannot be read, or names a field that the kind cannot be selected by.
    pub fn parse(kind: &Kind, labels: &str, fields: &str) -> Result<Self, ApiError> {
        Ok(Self { labels: parse_labels(labels).map_err(ApiError::bad_request)?, fields: parse_fields(kind, fields)? })
    }

    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub fn matches(&self, object: &Value) -> bool {
        let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
        self.labels.iter().all(|rule| rule.matches(labels)) && self.fields.iter().all(|rule| rule.matches(object))
    }
}

impl LabelRule {
    fn matches(&self, labels: Option<&Map<String, Value>>) -> bool {
        let value = labels.and_then(|labels| labels.get(&self.key)).and_then(Value::as_str);
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match &self.test {
            Test::Exists => value.is_some(),
            Test::Missing => value.is_none(),
            Test::In(values) => value.is_some_and(|value| values.iter().any(|v| v == value)),
            Test::NotIn(values) => value.is_none_or(|value| values.iter().all(|v| v != value)),
            Test::Above(than) => number().is_some_and(|number| number > *than),
            Test::Below(than) => number().is_some_and(|number| number < *than),
        }
    }
}

impl FieldRule {
    fn matches(&self, object: &Value) -> bool {
        let found = self.path.split('.').try_fold(object, |value, step| value.get(step));
        let equal = match found {
            None | Some(Value::Null) => self.value.is_empty(),
            Some(Value::String(text)) => *text == self.value,
            Some(other) => {
                let text = other.to_string();
                text == self.value
            }
        };
        equal == self.equal
    }
}

fn parse_labels(text: &str) -> Result<Vec<LabelRule>, String> {
    let mut rules = Vec::new();
    for part in split_outside_parentheses(text) {
        let part = part.trim();
        if part.is_empty() {
            continue;
        }
        if part.starts_with(['=', '<', '>', '(', ')']) {
            let found = part.get(..1).unwrap_or_default();
            return Err(format!("found '{found}', expected: !, identifier, or 'end of string'"));
        }
        let (key, test) = parse_label(part).map_err(|reason| format!("unable to parse requirement: {reason}"))?;
        let key_is_valid =
            !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'));
        if !key_is_valid {
            return Err(format!(
                "unable to parse requirement: <nil>: Invalid value: {key:?}: name part must consist of alphanumeric characters, '-', '_' or '.'"
            ));
        }
        rules.push(LabelRule { key: key.to_owned(), test });
    }
    Ok(rules)
}

fn parse_label(part: &str) -> Result<(&str, Test), String> {
    let one = |value: &str| vec![value.trim().to_owned()];
    let number = |value: &str| {
        value.trim().parse().map_err(|_| format!("for 'Gt', 'Lt' operators, the value must be an integer: {value:?}"))
    };
    if let Some(key) = part.strip_prefix('!') {
        return Ok((key.trim(), Test::Missing));
    }
    if let Some((key, rest)) = part.split_once(char::is_whitespace) {
        let rest = rest.trim();
        let set = |rest: &str| {
            let inner = rest.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).ok_or_else(|| {
                format!("found '{}' expected: '('", rest.split_whitespace().next().unwrap_or_default())
            })?;
            Ok::<_, String>(inner.split(',').map(|value| value.trim().to_owned()).collect())
        };
        if let Some(rest) = rest.strip_prefix("notin") {
            return Ok((key, Test::NotIn(set(rest)?)));
        }
        if let Some(rest) = rest.strip_prefix("in") {
            return Ok((key, Test::In(set(rest)?)));
        }
    }
    if let Some((key, value)) = part.split_once("!=") {
        return Ok((key.trim(), Test::NotIn(one(value))));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Ok((key.trim(), Test::In(one(value))));
    }
    if let Some((key, value)) = part.split_once('>') {
        return Ok((key.trim(), Test::Above(number(value)?)));
    }
    if let Some((key, value)) = part.split_once('<') {
        return Ok((key.trim(), Test::Below(number(value)?)));
    }
    Ok((part, Test::Exists))
}

fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut depth = 0_i32;
    text.split(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        c == ',' && depth == 0
    })
    .collect()
}

fn parse_fields(kind: &Kind, text: &str) -> Result<Vec<FieldRule>, ApiError> {
    let mut rules = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (path, value, equal) = if let Some((path, value)) = part.split_once("!=") {
            (path, value, false)
        } else if let Some((path, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
            (path, value, true)
        } else {
            return Err(ApiError::bad_request(format!("invalid selector: '{text}'; can't understand '{part}'")));
        };
        let known = path == "metadata.name"
            || (path == "metadata.namespace" && (kind.namespaced || !kind.is_custom()))
            || kind.selectable.iter().any(|field| field == path);
        if !known {
            return Err(ApiError::bad_request(format!("field label not supported: {path}")));
        }
        rules.push(FieldRule { path: stored_path(kind, path).to_owned(), value: value.to_owned(), equal });
    }
    Ok(rules)
}

/// Objects are selected as they are stored, and core events are stored as those of `events.k8s.io`.
fn stored_path<'a>(kind: &Kind, path: &'a str) -> &'a str {
    if kind.origin != Origin::CoreEvent {
        return path;
    }
    match path {
        "source" | "source.component" => "deprecatedSource.component",
        "reportingComponent" => "reportingController",
        other => match other.strip_prefix("involvedObject.") {
            Some("apiVersion") => "regarding.apiVersion",
            Some("fieldPath") => "regarding.fieldPath",
            Some("kind") => "regarding.kind",
            Some("name") => "regarding.name",
            Some("namespace") => "regarding.namespace",
            Some("resourceVersion") => "regarding.resourceVersion",
            Some("uid") => "regarding.uid",
            _ => other,
        },
    }
}
