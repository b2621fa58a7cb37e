//! Which restart was asked for last, remembered in a VM's notes, so that it is known even when everything else is lost.
//!
//! It is one line beside the mark:
//!
//! ```text
//! `cloudfaster.app/restart:v1 value=2026-11-24T08:00:00Z process=2346`
//! ```
//!
//! While the process is named, that very QEMU process is to end; when another one runs, the restart has happened, whoever
//! made it happen and however often the call for it was repeated.

use std::fmt;

use sha2::{Digest, Sha256};

/// What every version of the line begins with; no tenant's text may hold it.
const PREFIX: &str = "cloudfaster.app/restart";
const VERSION: &str = ":v1";
/// Values up to this length are kept as they are.
const LONGEST: usize = 63;

/// A restart that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restart {
    /// What it was asked for with, as [`value`] makes it.
    pub value: String,
    /// The QEMU process that is to end; none when it has ended.
    pub process: Option<u32>,
}

impl fmt::Display for Restart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{PREFIX}{VERSION} value={}", self.value)?;
        if let Some(process) = self.process {
            write!(f, " process={process}")?;
        }
        f.write_str("`")
    }
}

/// What somebody asks for a restart with, as it is remembered: as it is, or its hash if it is long or strange.
pub fn value(given: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:+".contains(c);
    if !given.is_empty() && given.len() <= LONGEST && given.chars().all(plain) {
        return given.to_owned();
    }
    let digest = Sha256::digest(given.as_bytes());
    format!("sha256:{}", hex::encode(digest.get(..12).unwrap_or_default()))
}

/// The restart that a description speaks of; none if it speaks of several.
pub fn find(description: &str) -> Option<Restart> {
    let mut found = description.lines().filter_map(parse);
    let first = found.next()?;
    found.all(|other| other == first).then_some(first)
}

/// A description without such lines, whole or damaged.
pub fn strip(description: &str) -> String {
    let kept: Vec<&str> = description.lines().filter(|line| !line.contains(PREFIX)).collect();
    kept.join("\n").trim_end().to_owned()
}

/// Whether a text holds what looks like such a line: refused in a tenant's text.
pub fn contains(text: &str) -> bool {
    text.to_ascii_lowercase().contains(PREFIX)
}

fn parse(line: &str) -> Option<Restart> {
    let (_, rest) = line.split_once(PREFIX)?;
    let rest = rest.strip_prefix(VERSION)?.trim_end_matches(['`', ' ', '\r']);
    let mut words = rest.split_ascii_whitespace();
    let value = words.next()?.strip_prefix("value=")?.to_owned();
    let process = match words.next() {
        Some(word) => Some(word.strip_prefix("process=")?.parse().ok()?),
        None => None,
    };
    words.next().is_none().then_some(Restart { value, process })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_is_found_again_in_the_notes() {
        for process in [None, Some(2346)] {
            let restart = Restart { value: "2026-11-24T08:00:00Z".into(), process };
            let notes = format!("# Web shop\n\nask Alice\n{restart}");
            assert_eq!(find(&notes), Some(restart.clone()));
            assert_eq!(find(&format!("{restart}\r\n{restart}")), Some(restart));
            assert_eq!(strip(&notes), "# Web shop\n\nask Alice");
        }
        assert_eq!(
            Restart { value: "a".into(), process: Some(7) }.to_string(),
            "`cloudfaster.app/restart:v1 value=a process=7`"
        );
    }

    #[test]
    fn what_is_damaged_or_contradicts_itself_says_nothing_and_goes_when_stripped() {
        let line = Restart { value: "a".into(), process: Some(7) }.to_string();
        for notes in [
            line.replace(":v1", ":v2"),
            line.replace("process=7", "process=x"),
            line.replace("process=7", "process=7 8"),
            line.replace("value=", ""),
            format!("{line}\n{}", line.replace("value=a", "value=b")),
        ] {
            assert_eq!(find(&notes), None, "{notes}");
            assert_eq!(strip(&format!("text\n{notes}")), "text");
            assert!(contains(&notes));
        }
    }

    #[test]
    fn any_value_becomes_one_word_and_different_ones_stay_different() {
        assert_eq!(value("2026-11-24T08:00:00+01:00"), "2026-11-24T08:00:00+01:00");
        let strange = ["", "a b", "`x`", "a\nb", &"x".repeat(64)].map(value);
        assert!(strange.iter().all(|value| value.starts_with("sha256:") && value.len() == 31), "{strange:?}");
        let distinct: std::collections::BTreeSet<_> = strange.iter().collect();
        assert_eq!(distinct.len(), strange.len());
    }
}
