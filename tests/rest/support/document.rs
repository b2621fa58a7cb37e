//! Holds exchanges to the OpenAPI document: whatever is answered is documented, and a request that the document allows is
//! not refused for its form, nor one taken that the document forbids.

use std::sync::LazyLock;

use jsonschema::Validator;
use regex::Regex;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};

use super::client::{Answer, FORM};

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::to_value(cloudfaster::rest::openapi()).expect("the document is JSON"));

/// What was asked and answered.
pub struct Exchange<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a str,
    pub kind: Option<&'a str>,
    pub answer: &'a Answer,
}

/// Holds an exchange to the document.
pub fn hold(exchange: &Exchange<'_>) {
    let Exchange { method, path, headers, body, kind, answer } = exchange;
    let what = || format!("{method} {path} {headers:?} {body:?}\n-> {answer:?}");
    let (bare, query) = path.split_once('?').unwrap_or((path, ""));
    let Some(Operation { template, described, values }) = operation(method, bare) else {
        // What there is not is not documented.
        assert!([404, 405, 307].contains(&answer.status) || bare.starts_with("/docs"), "{}", what());
        return;
    };
    let status = answer.status.to_string();
    let documented = &described["responses"][&status];
    assert!(documented.is_object(), "{template} does not document {status}: {}", what());
    assert_eq!(*kind, Some("application/json"), "{}", what());
    let schema = &documented["content"]["application/json"]["schema"];
    if let Some(error) = complaint(schema, &answer.body) {
        panic!("the answer is not as documented: {error}\n{}", what());
    }
    let right = is_right(described, &values, query, headers, body);
    match answer.status {
        200..=299 => assert_eq!(right, Ok(()), "a request was taken that the document forbids: {}", what()),
        422 => {
            // That a system is unknown, and that a key was used before, only the service can tell; the document says of the
            // two names of a field that one is needed, in words.
            let told = answer.body["detail"][0]["type"].as_str().unwrap_or_default();
            let dynamic = ["enum", "value_error", "missing"].contains(&told);
            assert!(right.is_err() || dynamic, "a request was refused that the document allows: {}", what());
        }
        _ => {}
    }
}

/// What a request asks for, by the document.
struct Operation<'a> {
    template: &'static str,
    described: &'static Value,
    /// The values in the path.
    values: Vec<(&'static str, &'a str)>,
}

/// The operation of a request.
fn operation<'a>(method: &str, path: &'a str) -> Option<Operation<'a>> {
    let paths = DOCUMENT["paths"].as_object()?;
    paths.iter().find_map(|(template, item)| {
        let mut values = Vec::new();
        let (wanted, given): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
        let fits = wanted.len() == given.len()
            && wanted.into_iter().zip(given).all(|(wanted, given)| match wanted.strip_prefix('{') {
                Some(name) => {
                    values.push((name.trim_end_matches('}'), given));
                    !given.is_empty()
                }
                None => wanted == given,
            });
        let described = item.get(method.to_lowercase())?;
        fits.then_some(Operation { template, described, values })
    })
}

/// Whether the document allows a request.
fn is_right(
    operation: &Value,
    values: &[(&str, &str)],
    query: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<(), String> {
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap();
        let given: Option<String> = match parameter["in"].as_str().unwrap() {
            "path" => values.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned()),
            "query" => form_urlencoded::parse(query.as_bytes())
                .filter(|(given, _)| given == name)
                .last()
                .map(|(_, value)| value.into_owned()),
            "header" => {
                headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| (*value).to_owned())
            }
            other => panic!("a parameter in {other}"),
        };
        match given {
            Some(text) => {
                if let Some(error) = complaint(&parameter["schema"], &typed(&parameter["schema"], &text)) {
                    return Err(format!("{name}: {error}"));
                }
            }
            None if parameter["required"] == true => return Err(format!("{name} is missing")),
            None => {}
        }
    }
    let content = &operation["requestBody"]["content"];
    let Some(content) = content.as_object() else { return Ok(()) };
    let kind = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPE.as_str()));
    let kind = kind.map(|(_, kind)| kind.split(';').next().unwrap_or_default()).unwrap_or_default();
    let Some(described) = content.get(kind) else { return Err(format!("{kind} is not documented")) };
    let reference = described["schema"]["$ref"].as_str().unwrap();
    let schema = DOCUMENT.pointer(reference.trim_start_matches('#')).unwrap();
    let mut form = Map::new();
    for (name, text) in fields(kind, body) {
        // Empty fields count as none.
        if !text.is_empty() {
            let described = &schema["properties"][&name];
            if described["type"] == "array" {
                let all = form.entry(name).or_insert_with(|| json!([]));
                all.as_array_mut().unwrap().push(json!(text));
            } else {
                form.insert(name, typed(described, &text));
            }
        }
    }
    match complaint(&described["schema"], &Value::Object(form)) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// The fields of a form; the tests write parts without headers of their own.
fn fields(kind: &str, body: &str) -> Vec<(String, String)> {
    if kind == FORM {
        return form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    }
    let parts = body.split("--B\r\n").filter_map(|part| {
        let (head, text) = part.split_once("\r\n\r\n")?;
        let name = head.split("name=\"").nth(1)?.split('"').next()?;
        Some((name.to_owned(), text.split("\r\n").next()?.to_owned()))
    });
    parts.collect()
}

/// A text as the value that its schema means.
fn typed(schema: &Value, text: &str) -> Value {
    let types = &schema["type"];
    let is_integer = *types == "integer" || types.as_array().is_some_and(|all| all.contains(&json!("integer")));
    // As lenient as the reader of integers is.
    static INTEGER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^\s*[+-]?\d+(_\d+)*(\.0+)?\s*$").unwrap());
    if !is_integer || !INTEGER.is_match(text) {
        return json!(text);
    }
    let digits = text.trim().replace('_', "");
    match digits.trim_start_matches('+').split('.').next().unwrap_or_default().parse::<i64>() {
        Ok(number) => json!(number),
        // None of the ranges reaches so far.
        Err(_) => json!(i64::MAX),
    }
}

fn complaint(schema: &Value, value: &Value) -> Option<String> {
    let mut root = schema.clone();
    root["components"] = DOCUMENT["components"].clone();
    let validator: Validator = jsonschema::draft202012::new(&root).expect("a schema of the document");
    validator.iter_errors(value).next().map(|error| format!("{}: {error}", error.instance_path()))
}
