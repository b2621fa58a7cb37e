//! Numbers with units: sizes, durations, CPUs.

use std::time::Duration;

/// A size with an optional unit, in bytes: `b`, `k`, `m`, `g`, `t`, `p`, each with `b` or `ib` behind it, of 1024.
pub fn bytes(text: &str) -> Option<i64> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let lower = text.to_ascii_lowercase();
    let end = lower.rfind(|character: char| character.is_ascii_digit() || character == '.')?;
    let (number, unit) = lower.split_at_checked(end.saturating_add(1))?;
    let number: f64 = number.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)?;
    let power = match unit.strip_prefix(' ').unwrap_or(unit) {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        "p" | "pb" | "pib" => 5,
        _ => return None,
    };
    whole(number * 1024_f64.powi(power))
}

/// A duration of numbers with units, as in `1h30m`: `ns`, `us`, `ms`, `s`, `m`, `h`, `d`, `w`.
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let (number, after) = rest.split_at_checked(digits)?;
        let letters =
            after.find(|character: char| character.is_ascii_digit() || character == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(letters)?;
        let nanoseconds: u64 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "d" => 86_400_000_000_000,
            "w" => 604_800_000_000_000,
            _ => return None,
        };
        let (integer, fraction) = number.split_once('.').unwrap_or((number, ""));
        if integer.is_empty() && fraction.is_empty() {
            return None;
        }
        let integer: u64 = if integer.is_empty() { 0 } else { integer.parse().ok()? };
        let part: f64 = if fraction.is_empty() { 0.0 } else { format!("0.{fraction}").parse().ok()? };
        #[expect(clippy::cast_precision_loss, reason = "the largest unit is far below 2^53")]
        let part = whole(part * nanoseconds as f64).and_then(|part| u64::try_from(part).ok())?;
        let nanoseconds =
            integer.checked_mul(nanoseconds)?.checked_add(part).filter(|value| i64::try_from(*value).is_ok())?;
        total = total.checked_add(Duration::from_nanos(nanoseconds))?;
        rest = after;
    }
    i64::try_from(total.as_nanos()).ok().map(|_| total)
}

/// CPUs in billionths.
pub fn nano_cpus(cpus: f64) -> Option<i64> {
    (cpus >= 0.0).then(|| whole((cpus * 1e9).round())).flatten()
}

#[expect(clippy::cast_possible_truncation, reason = "it is checked to fit, and the fraction is to go")]
fn whole(value: f64) -> Option<i64> {
    (value.is_finite() && value.abs() < 9e18).then_some(value as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_have_units_of_1024() {
        for (text, expected) in [
            ("64", Some(64)),
            ("64b", Some(64)),
            ("1k", Some(1024)),
            ("2MB", Some(2 * 1024 * 1024)),
            ("1.5gib", Some(1_610_612_736)),
            ("1 g", Some(1024 * 1024 * 1024)),
            ("1t", Some(1 << 40)),
            ("-1", Some(-1)),
            ("-1m", None),
            ("m", None),
            ("", None),
            ("1x", None),
            ("1kbb", None),
            ("99999999p", None),
        ] {
            assert_eq!(bytes(text), expected, "{text:?}");
        }
    }

    #[test]
    fn durations_are_numbers_with_units() {
        for (text, expected) in [
            ("90s", Some(90_000)),
            ("1m30s", Some(90_000)),
            ("1h5m30s20ms", Some(3_930_020)),
            ("1.5s", Some(1_500)),
            (".5m", Some(30_000)),
            ("1d", Some(86_400_000)),
            ("1w", Some(604_800_000)),
            ("0", Some(0)),
            ("10", None),
            ("", None),
            ("s", None),
            ("1x", None),
            ("-1s", None),
            ("1s ", None),
            ("99999999999999w", None),
        ] {
            assert_eq!(duration(text), expected.map(Duration::from_millis), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_them_panic(text in "[0-9.a-zµ +-]{0,20}") {
            let _ = (bytes(&text), duration(&text));
        }
    }
}
