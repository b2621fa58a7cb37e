//! What a file says, before anybody knows what it means: values with positions.

use std::collections::BTreeMap;

use super::model::At;

/// Keys and values.
pub type Map = BTreeMap<String, Node>;

/// A value and where it is written. Two of them are equal if their values are.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// Where it is written: the line of its key, if it has one.
    pub at: At,
    /// What it does to the same attribute of an earlier file.
    pub mark: Mark,
    /// Whether it holds the value of a variable, which is not to be told to anybody.
    pub from_variables: bool,
    /// The value.
    pub value: Value,
}

/// The tags that compose files know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// None.
    #[default]
    None,
    /// `!reset`: what an earlier file says is gone, and so is this.
    Reset,
    /// `!override`: what an earlier file says is gone, and this stands instead.
    Override,
}

/// A value.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    #[default]
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    /// A path of the sources, from their root.
    Path(String),
    List(Vec<Node>),
    Map(Map),
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Node {
    /// A value that stands for another, at the same place.
    pub fn in_place_of(other: &Self, value: Value) -> Self {
        Self { at: other.at.clone(), mark: Mark::None, from_variables: other.from_variables, value }
    }

    /// Its text, if it is text.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Its keys and values, if it has any.
    pub fn map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// Its keys and values, to change them.
    pub fn map_mut(&mut self) -> Option<&mut Map> {
        match &mut self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// Its entries, if it is a list.
    pub fn list(&self) -> Option<&[Self]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// A single value as text, written as Go prints it, which is what Docker Compose passes on. `None` for lists and mappings.
    pub fn printed(&self) -> Option<String> {
        match &self.value {
            Value::Null => Some(String::new()),
            Value::Bool(value) => Some(value.to_string()),
            Value::Int(value) => Some(value.to_string()),
            Value::Float(value) => Some(print_float(*value)),
            Value::Text(text) | Value::Path(text) => Some(text.clone()),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// A text that is equal for equal values, and differs for others.
    pub fn fingerprint(&self) -> String {
        let mut text = String::new();
        self.fingerprint_into(&mut text);
        text
    }

    fn fingerprint_into(&self, text: &mut String) {
        match &self.value {
            Value::Null => text.push('~'),
            Value::Bool(value) => text.push_str(if *value { "+" } else { "-" }),
            Value::Int(value) => text.push_str(&format!("i{value};")),
            Value::Float(value) => text.push_str(&format!("f{value:?};")),
            // The lengths keep apart what would read the same.
            Value::Text(value) => text.push_str(&format!("t{}:{value}", value.len())),
            Value::Path(value) => text.push_str(&format!("p{}:{value}", value.len())),
            Value::List(items) => {
                text.push_str(&format!("l{}:", items.len()));
                items.iter().for_each(|item| item.fingerprint_into(text));
            }
            Value::Map(map) => {
                text.push_str(&format!("m{}:", map.len()));
                for (key, value) in map {
                    text.push_str(&format!("{}:{key}", key.len()));
                    value.fingerprint_into(text);
                }
            }
        }
    }

    /// The value for a message: as it stands in the file, but not what variables hold.
    pub fn shown(&self) -> String {
        match &self.value {
            _ if self.from_variables => "its value, which holds variables,".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
            Value::Null => "nothing".to_owned(),
            _ => match self.printed() {
                Some(text) if text.chars().count() > 80 => format!("`{}…`", text.chars().take(80).collect::<String>()),
                text => format!("`{}`", text.unwrap_or_default()),
            },
        }
    }
}

/// A number as Go prints it: the fewest digits, and an exponent from a million on.
fn print_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if value != 0.0 && !(-4..6).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => format!("{value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_printed_as_go_prints_them() {
        for (value, expected) in [
            (1.5, "1.5"),
            (1e6, "1e+06"),
            (123_456.0, "123456"),
            (1_234_567.0, "1.234567e+06"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (-2.0, "-2"),
            (0.0, "0"),
        ] {
            assert_eq!(print_float(value), expected);
        }
    }
}
