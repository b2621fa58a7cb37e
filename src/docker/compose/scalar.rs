//! What a plain scalar of YAML is, in the reading of Docker Compose's parser: YAML 1.2 with the octal numbers of 1.1.
//!
//! `yes`, `no`, `on` and `off` are text there; whoever expects a boolean accepts them. Dates are text here.

use super::tree::Value;

/// The value of a scalar without quotes and without a tag.
pub fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    match text.bytes().next() {
        Some(b'.') => float(text),
        Some(b'+' | b'-' | b'0'..=b'9') => {
            let plain = text.replace('_', "");
            integer(&plain).map(Value::Int).or_else(|| float(&plain))
        }
        _ => None,
    }
    .unwrap_or_else(|| Value::Text(text.to_owned()))
}

/// An integer with the prefixes that Go knows; a leading zero means octal.
pub fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, number) = if let Some(rest) = lower.strip_prefix("0x") {
        (16, rest)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        (8, rest)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        (2, rest)
    } else if lower.len() > 1 && lower.starts_with('0') {
        (8, lower.trim_start_matches('0'))
    } else {
        (10, lower.as_str())
    };
    if number.starts_with(['+', '-']) || (number.is_empty() && radix != 8) {
        return None;
    }
    let value = if number.is_empty() { 0 } else { u64::from_str_radix(number, radix).ok()? };
    let value = i128::from(value);
    let value = if negative { -value } else { value };
    (value >= i128::from(i64::MIN)).then_some(value)
}

fn float(text: &str) -> Option<Value> {
    let shape = text.trim_start_matches(['+', '-']);
    let number = shape.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && shape.bytes().any(|b| b.is_ascii_digit())
        && shape.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    if number { text.parse().ok().map(Value::Float) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_are_what_composes_parser_makes_of_them() {
        for (text, expected) in [
            ("", Value::Null),
            ("~", Value::Null),
            ("True", Value::Bool(true)),
            ("yes", Value::Text("yes".to_owned())),
            ("off", Value::Text("off".to_owned())),
            ("12", Value::Int(12)),
            ("-3", Value::Int(-3)),
            ("+3", Value::Int(3)),
            ("0777", Value::Int(0o777)),
            ("0o17", Value::Int(0o17)),
            ("0x1F", Value::Int(31)),
            ("0b101", Value::Int(5)),
            ("1_000", Value::Int(1000)),
            ("0", Value::Int(0)),
            ("08", Value::Float(8.0)),
            ("1.50", Value::Float(1.5)),
            (".5", Value::Float(0.5)),
            ("1e3", Value::Float(1000.0)),
            ("1.2.3", Value::Text("1.2.3".to_owned())),
            ("22:22", Value::Text("22:22".to_owned())),
            ("3.", Value::Float(3.0)),
            ("-", Value::Text("-".to_owned())),
            (".", Value::Text(".".to_owned())),
            ("./a", Value::Text("./a".to_owned())),
            ("0x", Value::Text("0x".to_owned())),
            ("2024-01-01", Value::Text("2024-01-01".to_owned())),
            ("99999999999999999999", Value::Float(1e20)),
        ] {
            assert_eq!(resolve(text), expected, "{text:?}");
        }
    }
}
