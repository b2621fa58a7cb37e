//! Reading scalars as Perl writes them. A value that cannot be read counts as absent, so that one
//! odd field never hides a whole list.

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;

/// A whole number, written as a number, a string, or a fraction (which is cut off).
pub(super) fn integer<'de, D: Deserializer<'de>, T: TryFrom<u64>>(input: D) -> Result<Option<T>, D::Error> {
    let value = Option::<Value>::deserialize(input)?;
    Ok(value.as_ref().and_then(as_integer).and_then(|number| T::try_from(number).ok()))
}

/// A fraction, such as the load of a CPU, in thousandths.
pub(super) fn thousandths<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u32>, D::Error> {
    let value = Option::<Value>::deserialize(input)?;
    let fraction = value.as_ref().and_then(as_text).and_then(|text| text.trim().parse::<f64>().ok());
    Ok(fraction.and_then(|fraction| whole(fraction * 1000.0)).and_then(|number| u32::try_from(number).ok()))
}

/// A truth value: `1`, `"1"`, `true`, or any of their opposites; absent is false.
pub(super) fn boolean<'de, D: Deserializer<'de>>(input: D) -> Result<bool, D::Error> {
    Ok(maybe_boolean(input)?.unwrap_or(false))
}

/// A truth value that may be absent.
pub(super) fn maybe_boolean<'de, D: Deserializer<'de>>(input: D) -> Result<Option<bool>, D::Error> {
    let value = Option::<Value>::deserialize(input)?;
    Ok(value.as_ref().and_then(as_boolean))
}

/// A text, or a scalar as text; an empty text counts as absent.
pub(super) fn text<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    let value = Option::<Value>::deserialize(input)?;
    Ok(value.as_ref().and_then(as_text).filter(|text| !text.is_empty()))
}

/// A text that is empty when absent.
pub(super) fn string<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    Ok(text(input)?.unwrap_or_default())
}

/// A list without the entries that are not understood.
pub(super) fn entries<'de, D: Deserializer<'de>, T: DeserializeOwned>(input: D) -> Result<Vec<T>, D::Error> {
    let entries = Vec::<Value>::deserialize(input)?;
    Ok(entries.into_iter().filter_map(|entry| serde_json::from_value(entry).ok()).collect())
}

/// A list of names separated by commas, semicolons or blanks, as in `content` and `tags`.
pub(super) fn names<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    Ok(text(input)?.map(|list| split_names(&list)).unwrap_or_default())
}

pub(super) fn split_names(list: &str) -> Vec<String> {
    list.split([',', ';', ' ']).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

pub(super) fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(if *flag { "1" } else { "0" }.to_owned()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn as_integer(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64().or_else(|| whole(number.as_f64()?)),
        Value::String(text) => {
            let text = text.trim();
            text.parse().ok().or_else(|| whole(text.parse().ok()?))
        }
        Value::Bool(flag) => Some(u64::from(*flag)),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn whole(number: f64) -> Option<u64> {
    // A cast saturates, and sizes beyond 2^53 bytes do not exist here.
    (number.is_finite() && number >= 0.0).then_some(number as u64)
}

fn as_boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => Some(number.as_f64() != Some(0.0)),
        Value::String(text) => match text.trim().to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Some(true),
            "0" | "false" | "no" | "off" | "" => Some(false),
            _ => None,
        },
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
