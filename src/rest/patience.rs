//! What a client says of how its request is answered: how long it waits, and that it may ask again.

use http::HeaderMap;

use super::{
    fault::{self, Fault},
    making::IDEMPOTENCY_KEY,
};

/// The longest time that an answer waits, in seconds.
const MOST_WAIT: i64 = 600;
/// The longest idempotency key.
const KEY: usize = 255;

/// How long the answer waits for what is made to run, in seconds, by the query.
///
/// # Errors
/// What is wrong with it.
pub fn wait(query: Option<&str>) -> Result<u64, Fault> {
    let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let Some((_, text)) = pairs.filter(|(name, _)| name == "wait").last() else { return Ok(0) };
    fault::integer(("query", "wait"), &text, 0..=MOST_WAIT).map(i64::unsigned_abs)
}

/// The idempotency key of a request.
///
/// # Errors
/// What is wrong with it.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Fault> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let at = ("header", IDEMPOTENCY_KEY);
    match value.to_str() {
        Ok(key) if (1..=KEY).contains(&key.len()) => Ok(Some(key)),
        Ok(key) if key.is_empty() => Err(Fault::too_short(at, 1, key)),
        Ok(key) => Err(Fault::too_long(at, KEY, key)),
        Err(_) => {
            Err(Fault::value(at, "write it with visible ASCII characters", &String::from_utf8_lossy(value.as_bytes())))
        }
    }
}
