//! Names and paths that come from variables are used like any others, but not told: what is wrong ends in a status.

use std::collections::HashSet;

use super::problem::Problem;

/// What stands for what is not told.
const INSTEAD: &str = "(from a variable)";

/// The pieces of texts that came out of variables.
#[derive(Debug, Default)]
pub struct Hidden(HashSet<String>);

impl Hidden {
    /// Notes what variables made of a text. What the file itself says may be told.
    pub fn note(&mut self, written: &str, text: &str) {
        let made = pieces(text).filter(|piece| !piece.is_empty() && !written.contains(piece));
        self.0.extend(made.map(str::to_owned));
    }

    /// Takes out of a problem what is not to be told.
    pub fn clear(&self, problem: Problem) -> Problem {
        if self.0.is_empty() {
            return problem;
        }
        let quoted = |(index, part): (usize, &str)| match index % 2 == 1 && self.holds(part) {
            true => INSTEAD.to_owned(),
            false => part.to_owned(),
        };
        let message: Vec<String> = problem.message.split('`').enumerate().map(quoted).collect();
        let key = |key: &str| if self.holds(key) { INSTEAD.to_owned() } else { key.to_owned() };
        let path: Vec<String> = problem.path.split('.').map(key).collect();
        Problem { message: message.join("`"), path: path.join("."), ..problem }
    }

    fn holds(&self, text: &str) -> bool {
        pieces(text).any(|piece| self.0.contains(piece))
    }
}

fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split(['/', ':', '=', '.', ','])
}
