//! Writes attributes, and leaves out those that say nothing.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use serde_json::{Map, Number, Value};

/// A mapping that is being written.
#[derive(Default)]
pub struct Document(Map<String, Value>);

impl Document {
    pub fn finish(self) -> Value {
        Value::Object(self.0)
    }

    pub fn value(&mut self, key: &str, value: Value) {
        self.0.insert(key.to_owned(), value);
    }

    pub fn text(&mut self, key: &str, text: &str) {
        self.value(key, escaped(text));
    }

    pub fn option(&mut self, key: &str, text: &Option<String>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    pub fn flag(&mut self, key: &str, flag: bool) {
        if flag {
            self.value(key, Value::Bool(true));
        }
    }

    pub fn number<T: Into<Value>>(&mut self, key: &str, number: Option<T>) {
        if let Some(number) = number {
            self.value(key, number.into());
        }
    }

    /// Bytes, which are written as text.
    pub fn bytes(&mut self, key: &str, bytes: Option<i64>) {
        self.number(key, bytes.map(|bytes| bytes.to_string()));
    }

    pub fn cpus(&mut self, key: &str, nano: Option<i64>) {
        #[expect(clippy::cast_precision_loss, reason = "nobody has so many CPUs")]
        let cpus = nano.and_then(|nano| Number::from_f64(nano as f64 / 1e9));
        self.number(key, cpus);
    }

    pub fn duration(&mut self, key: &str, duration: Option<Duration>) {
        self.number(key, duration.map(printed_duration));
    }

    pub fn strings(&mut self, key: &str, list: &[String]) {
        if !list.is_empty() {
            self.value(key, strings(list));
        }
    }

    pub fn list<T>(&mut self, key: &str, list: &[T], write: impl FnMut(&T) -> Value) {
        if !list.is_empty() {
            self.value(key, Value::Array(list.iter().map(write).collect()));
        }
    }

    pub fn pairs(&mut self, key: &str, pairs: &BTreeMap<String, String>) {
        self.section(key, pairs.iter().map(|(key, value)| (key, escaped(value))));
    }

    pub fn section<'a>(&mut self, key: &str, entries: impl Iterator<Item = (&'a String, Value)>) {
        let entries: Map<String, Value> = entries.map(|(key, value)| (key.clone(), value)).collect();
        if !entries.is_empty() {
            self.value(key, Value::Object(entries));
        }
    }
}

/// Text in which a dollar is a dollar.
pub fn escaped(text: &str) -> Value {
    Value::String(text.replace('$', "$$"))
}

pub fn strings(list: &[String]) -> Value {
    Value::Array(list.iter().map(|text| escaped(text)).collect())
}

/// A path of the sources, as seen from their root.
pub fn path(path: &str) -> Value {
    escaped(&if path == "." { ".".to_owned() } else { format!("./{path}") })
}

/// A duration as Go prints it: `1h0m0.5s`, `1.5ms`.
pub fn printed_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let (unit, suffix) = match nanos {
        0 => return "0s".to_owned(),
        1..1_000 => return format!("{nanos}ns"),
        1_000..1_000_000 => (1_000, "µs"),
        1_000_000..1_000_000_000 => (1_000_000, "ms"),
        _ => (1_000_000_000, "s"),
    };
    let mut text = String::new();
    let minutes = nanos / 60_000_000_000;
    if minutes >= 60 {
        let _ = write!(text, "{}h", minutes / 60);
    }
    if minutes > 0 {
        let _ = write!(text, "{}m", minutes % 60);
    }
    let rest = if minutes > 0 { nanos % 60_000_000_000 } else { nanos };
    let width = match unit {
        1_000 => 3,
        1_000_000 => 6,
        _ => 9,
    };
    let fraction = format!("{:0width$}", rest % unit);
    let fraction = fraction.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    let _ = write!(text, "{}{dot}{fraction}{suffix}", rest / unit);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_printed_as_go_prints_them() {
        for (nanos, expected) in [
            (0, "0s"),
            (7, "7ns"),
            (1_500, "1.5µs"),
            (20_000_000, "20ms"),
            (1_500_000_000, "1.5s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
            (86_400_020_000_000, "24h0m0.02s"),
        ] {
            assert_eq!(printed_duration(Duration::from_nanos(nanos)), expected);
        }
    }
}
