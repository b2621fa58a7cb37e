//! The JSONPath of printer columns: field names, indexes, and filters by equality.

use serde_json::Value;

#[derive(Debug, Clone, PartialEq)]
pub struct JsonPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    Index(usize),
    All,
    /// `[?(@.type=="Ready")]`
    Where {
        path: JsonPath,
        equal: bool,
        value: Value,
    },
}

impl JsonPath {
    /// # Errors
    /// The path is none, or uses what is not served.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fail = || format!("unrecognized path {text:?}");
        let mut rest = text.trim();
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix('[') {
                let (inside, after) = bracket(inner).ok_or_else(fail)?;
                steps.push(step(inside).ok_or_else(fail)?);
                rest = after;
            } else {
                let name = rest.strip_prefix('.').unwrap_or(rest);
                let (field, after) = field(name);
                if field.is_empty() {
                    if after.is_empty() && steps.is_empty() {
                        break;
                    }
                    return Err(fail());
                }
                steps.push(match field.as_str() {
                    "*" => Step::All,
                    _ => Step::Field(field),
                });
                rest = after;
            }
        }
        Ok(Self(steps))
    }

    /// The first value that the path finds.
    pub fn first<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        find(&self.0, value)
    }
}

fn find<'a>(steps: &[Step], value: &'a Value) -> Option<&'a Value> {
    let Some((step, rest)) = steps.split_first() else {
        return Some(value);
    };
    match step {
        Step::Field(name) => find(rest, value.get(name)?),
        Step::Index(index) => find(rest, value.get(index)?),
        Step::All => match value {
            Value::Array(items) => items.iter().find_map(|item| find(rest, item)),
            Value::Object(fields) => fields.values().find_map(|item| find(rest, item)),
            _ => None,
        },
        Step::Where { path, equal, value: wanted } => value
            .as_array()?
            .iter()
            .filter(|item| (path.first(item) == Some(wanted)) == *equal)
            .find_map(|item| find(rest, item)),
    }
}

/// A field name up to the next `.` or `[`, in which a backslash escapes.
fn field(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut escaped = false;
    for (index, c) in text.char_indices() {
        match c {
            _ if escaped => {
                name.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '.' | '[' => return (name, text.get(index..).unwrap_or_default()),
            _ => name.push(c),
        }
    }
    (name, "")
}

/// What is in the bracket, and what follows it; quoted text may hold brackets.
fn bracket(text: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    let mut depth = 0_usize;
    for (index, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') if depth == 0 => {
                return Some((text.get(..index)?, text.get(index + 1..)?));
            }
            (None, ']') => depth -= 1,
            (None, _) => {}
        }
    }
    None
}

fn step(inside: &str) -> Option<Step> {
    let inside = inside.trim();
    if inside == "*" {
        return Some(Step::All);
    }
    if let Some(condition) = inside.strip_prefix("?(").and_then(|rest| rest.strip_suffix(')')) {
        let (path, value, equal) = match condition.split_once("==") {
            Some((path, value)) => (path, value, true),
            None => {
                let (path, value) = condition.split_once("!=")?;
                (path, value, false)
            }
        };
        return Some(Step::Where {
            path: JsonPath::parse(path.trim().strip_prefix('@')?).ok()?,
            equal,
            value: literal(value.trim())?,
        });
    }
    match literal(inside)? {
        Value::String(name) => Some(Step::Field(name)),
        Value::Number(index) => Some(Step::Index(usize::try_from(index.as_u64()?).ok()?)),
        _ => None,
    }
}

fn literal(text: &str) -> Option<Value> {
    match text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) {
        Some(quoted) => Some(quoted.into()),
        None => serde_json::from_str(text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_find_fields_items_and_conditions() {
        let object = json!({
            "metadata": { "annotations": { "example.org/a.b": "yes" } },
            "status": {
                "conditions": [
                    { "type": "Stalled", "status": "False" },
                    { "type": "Ready", "status": "True" },
                ],
                "ips": ["10.0.0.1", "10.0.0.2"],
            },
        });
        for (path, expected) in [
            (r#".status.conditions[?(@.type=="Ready")].status"#, Some("True")),
            (r#".status.conditions[?(@.type=='Ready')].status"#, Some("True")),
            (r#".status.conditions[?(@.type=="Gone")].status"#, None),
            (".status.ips[1]", Some("10.0.0.2")),
            (".status.ips[*]", Some("10.0.0.1")),
            (".metadata.annotations['example.org/a.b']", Some("yes")),
            (r".metadata.annotations.example\.org/a\.b", Some("yes")),
            (".status.missing.deeper", None),
        ] {
            let found = JsonPath::parse(path).unwrap();
            assert_eq!(found.first(&object).and_then(Value::as_str), expected, "{path}");
        }
    }

    #[test]
    fn a_path_that_is_none_is_refused() {
        for path in [".a..b", ".a[", ".a[?(x)]"] {
            assert!(JsonPath::parse(path).is_err(), "{path}");
        }
    }
}
