//! What is wrong with compose files, told so that it can be put right.

use std::fmt;

use super::model::At;

/// One thing that is wrong, or worth a warning. It never holds the value of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it is written.
    pub at: At,
    /// The attribute, as in `services.web.ports.0`; empty if it is about the file.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl Problem {
    /// Tells of something wrong at an attribute.
    pub fn new(at: &At, path: impl Into<String>, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { at: at.clone(), path: path.into(), message: message.into(), remedy: remedy.into() }
    }

    /// Tells of something wrong with a whole file.
    pub fn of_file(file: &str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(&At { file: file.into(), line: 0 }, "", message, remedy)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.at)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}: {}", self.message, self.remedy)
    }
}

/// Everything that is wrong, in the order of files and lines. Not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

/// How many problems are kept.
const KEPT: usize = 1000;

/// Adds a problem, unless there are far too many already.
pub fn add(problems: &mut Vec<Problem>, problem: Problem) {
    if problems.len() < KEPT {
        problems.push(problem);
    }
}

/// How many problems are told; the rest is counted.
const TOLD: usize = 10;

impl Problems {
    /// Puts problems in order; `None` if there are none.
    pub fn of(mut problems: Vec<Problem>) -> Option<Self> {
        problems.sort_by(|a, b| (&a.at.file, a.at.line, &a.path).cmp(&(&b.at.file, b.at.line, &b.path)));
        problems.dedup_by(|a, b| a == b && a.at.line == b.at.line && a.at.file == b.at.file);
        (!problems.is_empty()).then_some(Self(problems))
    }

    /// The problems.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().take(TOLD).enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        match self.0.len().saturating_sub(TOLD) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl std::error::Error for Problems {}
