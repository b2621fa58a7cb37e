//! The string and number formats that are checked; Kubernetes ignores those it does not know.

use serde_json::Number;

/// Whether `text` is of `format`; unknown formats take everything.
pub fn string_fits(format: &str, text: &str) -> bool {
    match format {
        "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.parse::<jiff::civil::Date>().is_ok(),
        "duration" => duration_fits(text),
        "uuid" | "uuid3" | "uuid4" | "uuid5" => uuid::Uuid::try_parse(text).is_ok(),
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok(),
        "byte" => {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.decode(text).is_ok()
        }
        "uri" => text.parse::<http::Uri>().is_ok_and(|uri| uri.scheme().is_some()),
        _ => true,
    }
}

/// Go's durations, as `1h15m` and `300ms`.
fn duration_fits(text: &str) -> bool {
    let text = text.trim_start_matches(['-', '+']);
    if text == "0" {
        return true;
    }
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        if number.parse::<f64>().is_err() {
            return false;
        }
        let Some(tail) =
            ["ns", "us", "µs", "ms", "s", "m", "h"].iter().find_map(|unit| match tail.strip_prefix(unit) {
                Some(after) if !after.starts_with(|c: char| c.is_alphabetic()) => Some(after),
                _ => None,
            })
        else {
            return false;
        };
        rest = tail;
    }
    !text.is_empty()
}

/// Whether `number` is in the range of `format`.
pub fn number_fits(format: &str, number: &Number) -> bool {
    match format {
        "int32" => number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        "int64" => number.as_i64().is_some() || number.as_f64().is_some_and(|n| n.fract() == 0.0),
        _ => true,
    }
}
