//! Whose a VM is: the mark in its description, and the SMBIOS UUID as a second, independent one.
//!
//! A mark is one line of the notes, as inline code, so that Proxmox shows it as it is:
//!
//! ```text
//! `cloudfaster.app/mark:v1 installation=prod vm=shop/web uid=5f0c… vmid=600 sum=1a2b3c4d`
//! ```
//!
//! People edit notes around it, and clone, back up and restore VMs with it. The sum makes a mark that
//! somebody damaged none at all, and the VMID inside makes it say which machine it was made for.

use std::ops::Range;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::wire::Vmid;

/// What every mark of every version begins with; no tenant's text may hold it.
const PREFIX: &str = "cloudfaster.app/mark";
const VERSION: &str = ":v1";

const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Which object of which installation a VM was made for, and under which VMID.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mark {
    /// The installation of the operator.
    pub installation: String,
    pub namespace: String,
    pub name: String,
    /// The object's uid: an object that is made again under its name has another.
    pub uid: String,
    /// The VM's own number: a copy's differs.
    pub vmid: Vmid,
}

/// The marks of a description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Found {
    /// Nothing, or nothing that is whole.
    #[default]
    None,
    One(Mark),
    /// Different ones: nobody can say whose it is.
    Several(Vec<Mark>),
}

impl Found {
    /// The mark, if there is exactly one.
    pub fn one(&self) -> Option<&Mark> {
        match self {
            Self::One(mark) => Some(mark),
            Self::None | Self::Several(_) => None,
        }
    }

    /// Every mark.
    pub fn all(&self) -> &[Mark] {
        match self {
            Self::None => &[],
            Self::One(mark) => std::slice::from_ref(mark),
            Self::Several(marks) => marks,
        }
    }
}

impl Mark {
    /// The mark as a line of a description.
    pub fn line(&self) -> String {
        format!("`{}`", self.written())
    }

    /// The marks of a description.
    pub fn find(description: &str) -> Found {
        let mut marks: Vec<_> = spans(description).filter_map(|span| span.mark).collect();
        marks.sort();
        marks.dedup();
        if marks.len() > 1 {
            return Found::Several(marks);
        }
        marks.pop().map_or(Found::None, Found::One)
    }

    fn written(&self) -> String {
        let Self { installation, namespace, name, uid, vmid } = self;
        let content = format!(
            "installation={} vm={}/{} uid={} vmid={vmid}",
            encode(installation),
            encode(namespace),
            encode(name),
            encode(uid)
        );
        let digest = Sha256::digest(content.as_bytes());
        let sum = hex::encode(digest.get(..4).unwrap_or_default());
        format!("{PREFIX}{VERSION} {content} sum={sum}")
    }
}

/// A user's text and our mark, as one description.
pub fn compose(text: &str, mark: &Mark) -> String {
    match text.trim_end() {
        "" => mark.line(),
        text => format!("{text}\n\n{}", mark.line()),
    }
}

/// A description without marks, whole or damaged: the user's text, less blanks at its end.
pub fn strip(description: &str) -> String {
    let mut text = String::with_capacity(description.len());
    let mut rest_from = 0;
    for Span { range, .. } in spans(description) {
        text.push_str(description.get(rest_from..range.start).unwrap_or_default());
        rest_from = range.end;
        // A line that held nothing else goes with its mark.
        if text.is_empty() || text.ends_with('\n') {
            let rest = description.get(rest_from..).unwrap_or_default();
            rest_from += usize::from(rest.starts_with('\r'));
            let rest = description.get(rest_from..).unwrap_or_default();
            rest_from += usize::from(rest.starts_with('\n'));
        }
    }
    text.push_str(description.get(rest_from..).unwrap_or_default());
    text.truncate(text.trim_end().len());
    text
}

/// Whether a text holds what looks like a mark of ours, in any version or state: refused in a tenant's text.
pub fn contains_mark(text: &str) -> bool {
    text.to_ascii_lowercase().contains(PREFIX)
}

/// The SMBIOS UUID of the VM that is made for an object under this VMID. A copy under another VMID
/// would have another one.
pub fn smbios_uuid(installation: &str, uid: &str, vmid: Vmid) -> Uuid {
    let ours = Uuid::new_v5(&Uuid::NAMESPACE_DNS, b"cloudfaster.app");
    let name = format!("{}/{}/{vmid}", encode(installation), encode(uid));
    Uuid::new_v5(&ours, name.as_bytes())
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

fn decode(text: &str) -> Option<String> {
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

/// Where a mark is, and what it says if it is whole.
struct Span {
    range: Range<usize>,
    mark: Option<Mark>,
}

/// The marks of a description, in order.
fn spans(description: &str) -> impl Iterator<Item = Span> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + description.get(from..)?.find(PREFIX)?;
        let after = start + PREFIX.len();
        let line = description.get(after..)?.lines().next().unwrap_or_default();
        let (mark, length) = match parse(line) {
            Some((mark, length)) => (Some(mark), length),
            None => (None, line.len()),
        };
        let mut range = start..after + length;
        if description.get(..start)?.ends_with('`') && start > from {
            range.start -= 1;
        }
        if description.get(range.end..)?.starts_with('`') {
            range.end += 1;
        }
        from = range.end;
        Some(Span { range, mark })
    })
}

/// Reads what follows the prefix of a mark; also how long it is.
fn parse(text: &str) -> Option<(Mark, usize)> {
    let mut rest = text.strip_prefix(VERSION)?;
    let mut field = |key: &str| {
        let value = rest.strip_prefix(' ')?.strip_prefix(key)?;
        let end = value.find(|c: char| !c.is_ascii_alphanumeric() && !"-._~%/".contains(c)).unwrap_or(value.len());
        let (value, after) = value.split_at_checked(end)?;
        rest = after;
        Some(value)
    };
    let installation = field("installation=")?;
    let (namespace, name) = field("vm=")?.split_once('/')?;
    let uid = field("uid=")?;
    let vmid = field("vmid=")?;
    let mark = Mark {
        installation: decode(installation)?,
        namespace: decode(namespace)?,
        name: decode(name)?,
        uid: decode(uid)?,
        vmid: vmid.parse().ok()?,
    };
    // There is one way only to write a mark.
    let written = mark.written();
    let written = written.strip_prefix(PREFIX)?;
    text.starts_with(written).then_some((mark, written.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mark() -> Mark {
        Mark {
            installation: "prod".to_owned(),
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
            uid: "5f0c6a1e-5d5c-4a57-9d2f-4b4b3a0e7a11".to_owned(),
            vmid: 600,
        }
    }

    #[test]
    fn a_mark_reads_well_and_never_changes() {
        // Marks live in Proxmox for years: this line must be understood by every later version.
        let line = "`cloudfaster.app/mark:v1 installation=prod vm=shop/web uid=5f0c6a1e-5d5c-4a57-9d2f-4b4b3a0e7a11 vmid=600 sum=cfddc107`";
        assert_eq!(mark().line(), line);
        assert_eq!(Mark::find(&mark().line()), Found::One(mark()));
    }

    #[test]
    fn what_people_do_to_notes_is_survived() {
        let line = mark().line();
        let bare = line.trim_matches('`');
        for notes in [
            format!("# Web shop\r\n\r\n{line}\r\nask Alice"),
            format!("before {line} after"),
            format!("> - {bare}"),
            format!("{bare}."),
            format!("{line}\n{line}"),
            format!("``{line}``"),
        ] {
            assert_eq!(Mark::find(&notes), Found::One(mark()), "{notes}");
        }
    }

    #[test]
    fn a_damaged_mark_is_none_and_goes_when_stripped() {
        let line = mark().line();
        for notes in [
            line.replace("vmid=600", "vmid=601"),
            line.replace("shop/web", "shop/web2"),
            line.replace("vmid=600", "vmid=0600"),
            line.replace("uid=", "uid= "),
            line.replace(" vmid", "\nvmid"),
            line.replace(":v1", ":v2"),
            line.split(" sum").next().unwrap().to_owned(),
        ] {
            assert_eq!(Mark::find(&notes), Found::None, "{notes}");
            assert!(contains_mark(&notes));
            assert!(!contains_mark(&strip(&notes)), "{notes}");
        }
    }

    #[test]
    fn two_different_marks_are_nobodys() {
        let other = Mark { vmid: 601, ..mark() };
        let notes = compose(&mark().line(), &other);
        assert_eq!(Mark::find(&notes), Found::Several(vec![mark(), other]));
        assert_eq!(strip(&notes), "");
    }

    #[test]
    fn the_second_mark_depends_on_everything_it_is_made_of() {
        let uuid = smbios_uuid("prod", "u1", 600);
        assert_eq!(uuid, smbios_uuid("prod", "u1", 600));
        assert_eq!(uuid.to_string(), "ed24e03e-a793-5d29-9c7d-159b318d50cc");
        for other in [
            smbios_uuid("test", "u1", 600),
            smbios_uuid("prod", "u2", 600),
            smbios_uuid("prod", "u1", 601),
            smbios_uuid("prod/u1", "", 600),
        ] {
            assert_ne!(uuid, other);
        }
    }

    prop_compose! {
        fn marks()(
            installation in any::<String>(), namespace in any::<String>(), name in any::<String>(),
            uid in any::<String>(), vmid in 100_u32..=999_999_999,
        ) -> Mark {
            Mark { installation, namespace, name, uid, vmid }
        }
    }

    /// A text as a person might write it: no mark, and lines of any kind.
    fn texts() -> impl Strategy<Value = String> {
        "(?s).{0,80}".prop_filter("holds a mark", |text| !contains_mark(text))
    }

    proptest! {
        #[test]
        fn every_mark_is_found_as_it_was_written(mark in marks()) {
            prop_assert_eq!(mark.line().lines().count(), 1);
            prop_assert_eq!(Mark::find(&mark.line()), Found::One(mark));
        }

        #[test]
        fn a_mark_survives_any_text_around_it(mark in marks(), before in texts(), after in texts()) {
            let notes = format!("{before}{}{after}", mark.line());
            prop_assert_eq!(Mark::find(&notes), Found::One(mark));
            prop_assert!(!contains_mark(&strip(&notes)));
        }

        #[test]
        fn text_without_marks_has_none_and_stays(text in texts()) {
            prop_assert_eq!(Mark::find(&text), Found::None);
            prop_assert_eq!(strip(&text), text.trim_end());
        }

        #[test]
        fn the_users_text_comes_back(text in texts(), mark in marks()) {
            let notes = compose(&text, &mark);
            prop_assert_eq!(strip(&notes), text.trim_end());
            prop_assert_eq!(compose(&strip(&notes), &mark), notes);
        }

        #[test]
        fn one_changed_character_never_makes_another_mark(
            mark in marks(), at in any::<prop::sample::Index>(), new in "[ -~]",
        ) {
            let mut line: Vec<char> = mark.line().chars().collect();
            let at = at.index(line.len());
            line[at] = new.chars().next().unwrap();
            let changed: String = line.into_iter().collect();
            prop_assert!(matches!(Mark::find(&changed), Found::None) || Mark::find(&changed) == Found::One(mark));
        }
    }
}
