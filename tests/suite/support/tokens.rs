//! Tokens of service accounts as the API server issues them, but with an end of one's own choice: it issues none that
//! lasts less than ten minutes.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ring::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use serde_json::{Value, json};

/// The API server takes a token for so many seconds after its end, for clocks that differ.
const LEEWAY: i64 = 60;

/// The same claims as in `token`, good for `lasts` from now, signed with the API server's own key.
///
/// By hand, for it is a line of three parts, and ring is there already.
pub fn expiring(key: &rcgen::KeyPair, token: &str, lasts: Duration) -> String {
    let (header, rest) = token.split_once('.').unwrap();
    let claims = rest.split('.').next().unwrap();
    let mut claims: Value = serde_json::from_slice(&BASE64.decode(claims).unwrap()).unwrap();
    claims["exp"] = json!(jiff::Timestamp::now().as_second() + i64::try_from(lasts.as_secs()).unwrap() - LEEWAY);
    let signed = format!("{header}.{}", BASE64.encode(claims.to_string()));
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.serialized_der(), &random).unwrap();
    let signature = key.sign(&random, signed.as_bytes()).unwrap();
    format!("{signed}.{}", BASE64.encode(signature))
}
