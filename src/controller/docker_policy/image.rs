//! Which images may be used.

use super::{Refused, Terms};
use crate::{
    controller::policy::{list, matches_any},
    docker::{compose::model::At, engine::Reference},
};

/// Whether the engine may take it for the id of an image that it has, whosever that is.
fn may_be_id(reference: &str) -> bool {
    let hex = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex(reference) || reference.strip_prefix("sha256:").is_some_and(hex)
}

/// Refuses an image that may not be used.
pub fn check(terms: &Terms<'_>, at: &At, attribute: &str, reference: &str, refused: &mut Refused) {
    let patterns = &terms.allow.images;
    let all = patterns.iter().any(|pattern| pattern == "*");
    if all {
        return;
    }
    if may_be_id(reference) {
        let remedy = "it can be the id of an image of somebody else's on the host; name a repository and a tag";
        refused.add(at, attribute, reference, remedy);
        return;
    }
    let Ok(image) = reference.parse::<Reference>() else {
        refused.add(at, attribute, reference, "it is no reference to an image, such as nginx:1.29");
        return;
    };
    let repository = image.full_repository();
    let whole = Reference { repository: repository.clone(), ..image }.to_string();
    if !matches_any(patterns, &repository) && !matches_any(patterns, &whole) {
        let allowed = list(patterns.iter().cloned(), "no image may be used");
        refused.add(at, attribute, &whole, &allowed);
    }
}

/// Refuses a name that is given to an image that is built here: others on the host would use it for the image of that name.
pub fn check_tag(terms: &Terms<'_>, at: &At, attribute: &str, reference: &str, refused: &mut Refused) {
    let repository = reference.parse::<Reference>().map(|image| image.full_repository()).unwrap_or_default();
    let short = repository.strip_prefix("docker.io/library/").unwrap_or(&repository);
    if !terms.may_be_named(short) {
        let begin = format!("{}-", terms.project);
        let allowed = list(std::iter::once(format!("{begin}*")).chain(terms.allow.names.iter().cloned()), "");
        refused.add(
            at,
            attribute,
            reference,
            &format!("an image that is built is the host's for everybody; {allowed}"),
        );
    }
}
