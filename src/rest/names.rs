//! Names for Kubernetes, made of what clients call things. Different things never get the same name, and the same thing
//! always gets its own, so that Kubernetes itself refuses a second one.

use sha2::{Digest, Sha256};

/// So many hexadecimal digits of a hash tell names apart that look alike.
const DIGITS: usize = 12;
/// The longest name of a machine that the old system kept.
const MACHINE: usize = 32;
/// So much of a user's id is kept readable.
const USER: usize = 32;

/// A user's name in Kubernetes: a label value, and a part of the names of what is the user's.
pub fn user(id: &str) -> String {
    named(id, USER, &[id])
}

/// The name of a machine's object.
pub fn machine(user: &str, name: &str) -> String {
    named(name, MACHINE, &[user, name])
}

/// The name of a service's object.
pub fn service(user: &str, name: &str) -> String {
    named(name, MACHINE, &[user, name])
}

/// The part of a host name that is made of a service's name, if anything of it can be.
pub fn host(name: &str) -> Option<String> {
    let name = sanitised(name).to_ascii_lowercase();
    Some(name.trim_matches('-').to_owned()).filter(|name| !name.is_empty())
}

/// What the old system made of a machine's name.
pub fn sanitised(name: &str) -> String {
    name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' }).take(MACHINE).collect()
}

/// The hash of several texts, none of which can pretend to be two.
pub fn hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(hash.finalize())
}

/// What can be read of it, and what tells it from everything else.
fn named(readable: &str, most: usize, unique: &[&str]) -> String {
    let slug: String = readable
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' })
        .take(most)
        .collect();
    let slug = slug.trim_matches('-');
    let digits: String = hash(unique).chars().take(DIGITS).collect();
    if slug.is_empty() { format!("x-{digits}") } else { format!("{slug}-{digits}") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_look_alike_are_told_apart() {
        let ids = ["ana", "Ana", "a.na", "a-na", "a na", "añna", "", "-", "--", "7", "07", "../etc", "ana-", "💥"];
        let names: BTreeSet<String> = ids.iter().map(|id| user(id)).collect();
        assert_eq!(names.len(), ids.len(), "{names:?}");
        assert_ne!(machine("a", "bc"), machine("ab", "c"));
        assert_ne!(machine("1", "web"), machine("2", "web"));
        assert_eq!(machine("1", "web"), machine("1", "web"));
    }

    #[test]
    fn a_machines_name_is_what_the_old_system_made_of_it() {
        for (given, kept) in [
            ("web", "web"),
            ("Web_1.example", "Web-1-example"),
            ("señal", "se-al"),
            (" ", "-"),
            (&"x".repeat(40), &"x".repeat(32)),
        ] {
            assert_eq!(sanitised(given), kept, "{given:?}");
        }
    }

    #[test]
    fn a_services_host_name_is_made_of_its_name() {
        for (given, host_name) in [
            ("Shop", Some("shop")),
            ("My shop.v2", Some("my-shop-v2")),
            ("-é-", None),
            ("  x  ", Some("x")),
            (&"x".repeat(40), Some(&*"x".repeat(32))),
        ] {
            assert_eq!(host(given).as_deref(), host_name, "{given:?}");
        }
    }

    proptest! {
        #[test]
        fn every_name_is_one_for_kubernetes(text in ".{0,60}") {
            for name in [user(&text), machine("7", &text), service("7", &text)].into_iter().chain(host(&text)) {
                prop_assert!(name.len() <= 63 - "cloudfaster-user-".len(), "{name}");
                prop_assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'));
                prop_assert!(!name.starts_with('-') && !name.ends_with('-'));
            }
        }
    }
}
