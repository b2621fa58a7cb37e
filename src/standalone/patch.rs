//! Patches: JSON merge patches, JSON patches, and strategic merge patches for built-in kinds.

use serde_json::Value;

use super::registry::Kind;
use super::status::ApiError;
use super::strategic;

pub enum Patch {
    Merge(Value),
    Json(json_patch::Patch),
    Strategic(Value),
}

impl Patch {
    /// # Errors
    /// The type is not served for this kind, or the patch cannot be read.
    pub fn parse(kind: &Kind, media_type: &str, body: &[u8]) -> Result<Self, ApiError> {
        let unreadable = |error: serde_json::Error| ApiError::bad_request(format!("error decoding patch: {error}"));
        match media_type {
            "application/merge-patch+json" => serde_json::from_slice(body).map(Self::Merge).map_err(unreadable),
            "application/json-patch+json" => serde_json::from_slice(body).map(Self::Json).map_err(unreadable),
            "application/strategic-merge-patch+json" if !kind.is_custom() => {
                serde_json::from_slice(body).map(Self::Strategic).map_err(unreadable)
            }
            _ if kind.is_custom() => Err(ApiError::unsupported_media_type(
                "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
            )),
            _ => Err(ApiError::unsupported_media_type(
                "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, application/apply-patch+yaml",
            )),
        }
    }

    /// # Errors
    /// The patch does not fit the object: a test in it fails, or what it changes is not there.
    pub fn apply(&self, object: &mut Value) -> Result<(), ApiError> {
        match self {
            Self::Merge(patch) => json_patch::merge(object, patch),
            Self::Json(patch) => {
                json_patch::patch(object, patch).map_err(|_| ApiError::patch_failed())?;
            }
            Self::Strategic(patch) => {
                strategic::merge(object, patch).map_err(|error| ApiError::bad_request(error.to_string()))?
            }
        }
        if object.is_object() { Ok(()) } else { Err(ApiError::bad_request("the patch leaves no object")) }
    }
}
