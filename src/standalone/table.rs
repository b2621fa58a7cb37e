//! Tables, as `kubectl get` asks for: columns and rows instead of objects.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceColumnDefinition;
use serde_json::{Value, json};

use super::jsonpath::JsonPath;
use super::registry::Kind;

#[derive(Debug, Clone)]
pub struct Column {
    name: String,
    kind: String,
    format: String,
    description: String,
    priority: i32,
    cell: Cell,
}

#[derive(Debug, Clone)]
enum Cell {
    Computed(fn(&Value) -> Value),
    Path(JsonPath),
}

impl Column {
    pub fn name() -> Self {
        Self {
            format: "name".to_owned(),
            description: "Name must be unique within a namespace.".to_owned(),
            ..Self::computed("Name", "string", |object| object.pointer("/metadata/name").cloned().unwrap_or_default())
        }
    }

    pub fn age() -> Self {
        Self {
            description: "The time since this object was created.".to_owned(),
            ..Self::computed("Age", "string", |object| {
                let created = object.pointer("/metadata/creationTimestamp");
                created.map_or_else(|| "<unknown>".into(), age)
            })
        }
    }

    pub fn computed(name: &str, kind: &str, cell: fn(&Value) -> Value) -> Self {
        Self {
            name: name.to_owned(),
            kind: kind.to_owned(),
            format: String::new(),
            description: name.to_owned(),
            priority: 0,
            cell: Cell::Computed(cell),
        }
    }

    /// Shown with `-o wide` only.
    pub fn wide(mut self) -> Self {
        self.priority = 1;
        self
    }

    /// A column of a CRD.
    ///
    /// # Errors
    /// Its path cannot be read.
    pub fn custom(column: &CustomResourceColumnDefinition) -> Result<Self, String> {
        Ok(Self {
            name: column.name.clone(),
            kind: column.type_.clone(),
            format: column.format.clone().unwrap_or_default(),
            description: column.description.clone().unwrap_or_else(|| {
                format!("Custom resource definition column (in JSONPath format): {}", column.json_path)
            }),
            priority: column.priority.unwrap_or_default(),
            cell: Cell::Path(JsonPath::parse(&column.json_path)?),
        })
    }

    /// The columns of a CRD, which has the name first, and the age if it says nothing itself.
    pub fn of_custom(columns: Vec<Self>) -> Vec<Self> {
        let mut all = vec![Self::name()];
        if columns.is_empty() {
            all.push(Self { kind: "date".to_owned(), ..Self::age() });
        }
        all.extend(columns);
        all
    }

    fn definition(&self) -> Value {
        json!({
            "name": self.name,
            "type": self.kind,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        })
    }

    fn value(&self, object: &Value) -> Value {
        let path = match &self.cell {
            Cell::Computed(cell) => return cell(object),
            Cell::Path(path) => path,
        };
        let Some(found) = path.first(object).filter(|found| !found.is_null()) else {
            return Value::Null;
        };
        match (self.kind.as_str(), found) {
            ("string", Value::String(_)) => found.clone(),
            ("string", other) => other.to_string().into(),
            ("date", time) => age(time),
            ("integer", Value::Number(number)) => {
                #[expect(clippy::cast_possible_truncation, reason = "as Kubernetes does")]
                let truncated = number.as_f64().map(|number| number as i64);
                number.as_i64().or(truncated).into()
            }
            ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => found.clone(),
            _ => Value::Null,
        }
    }
}

/// How much of the object each row carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Include {
    Nothing,
    Metadata,
    Object,
}

pub fn definitions(kind: &Kind) -> Value {
    kind.columns.iter().map(Column::definition).collect()
}

/// The row of an object, as stored; `shown` is the object in the version that was asked for.
pub fn row(kind: &Kind, stored: &Value, shown: impl FnOnce() -> Value, include: Include) -> Value {
    let cells: Vec<Value> = kind.columns.iter().map(|c| c.value(stored)).collect();
    let object = match include {
        Include::Nothing => Value::Null,
        Include::Metadata => partial(stored),
        Include::Object => shown(),
    };
    json!({ "cells": cells, "object": object })
}

/// The metadata of an object, as metadata watches ask for it.
pub fn partial(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object.get("metadata").cloned().unwrap_or_default(),
    })
}

/// The age of a time stamp, as kubectl shows it.
pub fn age(time: &Value) -> Value {
    let Some(time) = time.as_str() else {
        return "<unknown>".into();
    };
    match time.parse::<jiff::Timestamp>() {
        Ok(time) => human(jiff::Timestamp::now().as_second() - time.as_second()).into(),
        Err(_) => "<invalid>".into(),
    }
}

/// Seconds in the two largest units that matter, as `3d4h`.
fn human(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let pair = |large: i64, large_unit: &str, small: i64, small_unit: &str| match small {
        0 => format!("{large}{large_unit}"),
        small => format!("{large}{large_unit}{small}{small_unit}"),
    };
    if seconds < -1 {
        "<invalid>".to_owned()
    } else if seconds < 0 {
        "0s".to_owned()
    } else if seconds < 120 {
        format!("{seconds}s")
    } else if minutes < 10 {
        pair(minutes, "m", seconds % 60, "s")
    } else if minutes < 180 {
        format!("{minutes}m")
    } else if hours < 8 {
        pair(hours, "h", minutes % 60, "m")
    } else if hours < 48 {
        format!("{hours}h")
    } else if hours < 192 {
        pair(days, "d", hours % 24, "h")
    } else if days < 730 {
        format!("{days}d")
    } else if days < 2920 {
        pair(days / 365, "y", days % 365, "d")
    } else {
        format!("{}y", days / 365)
    }
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn ages_read_as_kubectl_shows_them() {
        for (seconds, text) in [
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (11 * 60, "11m"),
            (3 * 3600 + 60, "3h1m"),
            (8 * 3600 + 60, "8h"),
            (50 * 3600, "2d2h"),
            (9 * 86_400, "9d"),
            (800 * 86_400, "2y70d"),
        ] {
            assert_eq!(human(seconds), text);
        }
    }
}
