//! Formats of single values.

use super::{Context, Rule};

pub(super) const VMID: Rule = Rule::Format(vmid);

pub(super) fn vmid(text: &str, _: &Context<'_>) -> Result<(), String> {
    if text.is_empty() || !text.strip_prefix('-').unwrap_or(text).bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("type check ('integer') failed - got '{text}'"));
    }
    match text.parse::<u32>() {
        Ok(100..=999_999_999) => Ok(()),
        _ => Err("value does not look like a valid VM ID".into()),
    }
}

pub(super) fn dns_name(text: &str, _: &Context<'_>) -> Result<(), String> {
    let label = |label: &str| {
        let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        plain && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    if text.split('.').all(label) { Ok(()) } else { Err("value does not look like a valid DNS name".into()) }
}

pub(super) fn storage_id(text: &str, _: &Context<'_>) -> Result<(), String> {
    let mut bytes = text.bytes();
    let fits = text.len() > 1
        && bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && text.ends_with(|last: char| last.is_ascii_alphanumeric());
    if fits { Ok(()) } else { Err(format!("storage ID '{text}' contains illegal characters")) }
}

pub(super) fn node(text: &str, _: &Context<'_>) -> Result<(), String> {
    let fits = !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    if fits { Ok(()) } else { Err("value does not look like a valid node name".into()) }
}

pub(super) fn config_id(text: &str, _: &Context<'_>) -> Result<(), String> {
    if text.chars().count() > 40 {
        return Ok(());
    }
    let mut bytes = text.bytes();
    let fits = bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
        && text.len() > 1
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if fits { Ok(()) } else { Err(format!("invalid configuration ID '{text}'")) }
}

pub(super) fn tags(text: &str, _: &Context<'_>) -> Result<(), String> {
    let tag = |tag: &str| {
        let mut chars = tag.chars();
        chars.next().is_some_and(|first| first.is_ascii_alphanumeric() || first == '_')
            && chars.all(|letter| letter.is_ascii_alphanumeric() || "_-+.".contains(letter))
    };
    if text.split([',', ';', ' ']).filter(|word| !word.is_empty()).all(tag) {
        Ok(())
    } else {
        Err("invalid characters in tag".into())
    }
}

/// Percent-encoded with nothing left over: letters, digits and `-_.~` stay, all else is `%XX`.
pub(super) fn url_encoded(text: &str, _: &Context<'_>) -> Result<(), String> {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'%' => {
                [bytes.next(), bytes.next()].iter().flatten().filter(|digit| digit.is_ascii_hexdigit()).count() == 2
            }
            byte => byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte),
        };
        if !fits {
            return Err(format!("invalid urlencoded string: {text}"));
        }
    }
    Ok(())
}

/// `+10G`, `32G`, `3.5G`, `4294967296`.
pub(super) fn is_disk_size(text: &str) -> bool {
    let text = text.strip_prefix('+').unwrap_or(text);
    let number = text.strip_suffix(['K', 'M', 'G', 'T']).unwrap_or(text);
    let mut parts = number.splitn(2, '.');
    let digits = |part: Option<&str>| {
        part.is_some_and(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    digits(parts.next()) && parts.next().is_none_or(|fraction| digits(Some(fraction)))
}
