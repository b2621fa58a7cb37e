//! What is refused, collected.

use crate::{docker::compose::model::At, reason::Reason};

/// So many refusals are told; the others come when these are mended.
const TOLD: usize = 12;
/// A longer value is cut: it stands in the file.
const LONGEST_VALUE: usize = 120;

/// What is refused of a project, in the order in which it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    sentences: Vec<String>,
}

impl Refused {
    /// Refuses the value of an attribute, which is written at a line, and says what is allowed or what to do.
    pub fn add(&mut self, at: &At, attribute: &str, value: &str, remedy: &str) {
        let mut shown: String = value.chars().take(LONGEST_VALUE).collect();
        if shown.len() < value.len() {
            shown.push('…');
        }
        self.sentences.push(format!("{at}: {attribute}: {shown:?} is not allowed; {remedy}"));
    }

    /// The reason of a condition; none, if nothing is refused.
    pub fn reason(&self) -> Option<Reason> {
        let mut told: Vec<&str> = self.sentences.iter().map(String::as_str).take(TOLD).collect();
        let more = self.sentences.len().saturating_sub(TOLD);
        let more = format!("and {more} more");
        if self.sentences.len() > TOLD {
            told.push(&more);
        }
        (!told.is_empty()).then(|| Reason::new(crate::controller::policy::NOT_ALLOWED, told.join("; ")))
    }
}
