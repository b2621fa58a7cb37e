//! What a `.dockerignore` leaves out of a build's context. Docker's own clients leave it out before they send the context; the
//! engine does not.
//!
//! The rules are those of <https://docs.docker.com/build/concepts/context/#dockerignore-files>: a pattern is one for a whole
//! path and everything below it, `**` stands for any folders, `!` takes back, and the last pattern that fits counts.

use regex::Regex;

use super::{Content, Error};

/// The file that says so.
const FILE: &str = ".dockerignore";
/// The largest that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// A context without what its `.dockerignore` leaves out. The Dockerfile and the file itself stay, as with Docker's clients.
///
/// # Errors
/// A file that is no text, is too large, or holds what is no pattern.
pub fn apply(context: &Content, dockerfile: &str) -> Result<Content, Error> {
    if context.get(FILE).is_none() {
        return Ok(context.clone());
    }
    let text = context.read(FILE, LARGEST)?;
    let text = String::from_utf8_lossy(&text);
    let rules: Vec<Rule> =
        text.trim_start_matches('\u{feff}').lines().filter_map(Rule::parse).collect::<Result<_, _>>()?;
    Ok(context.without(|path| path != FILE && path != dockerfile && is_ignored(&rules, path)))
}

/// A line of the file.
struct Rule {
    pattern: Regex,
    /// It takes back what one before it left out.
    back: bool,
}

impl Rule {
    fn parse(line: &str) -> Option<Result<Self, Error>> {
        if line.starts_with('#') {
            return None;
        }
        let line = line.trim();
        let (line, back) = match line.strip_prefix('!') {
            Some(rest) => (rest.trim(), true),
            None => (line, false),
        };
        let mut parts: Vec<&str> = Vec::new();
        for part in line.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        if parts.is_empty() {
            return None;
        }
        let pattern =
            Regex::new(&expression(&parts.join("/"))).map_err(|_| Error::Pattern { pattern: line.to_owned() });
        Some(pattern.map(|pattern| Self { pattern, back }))
    }
}

fn is_ignored(rules: &[Rule], path: &str) -> bool {
    let above = path.match_indices('/').filter_map(|(end, _)| path.get(..end));
    let paths: Vec<&str> = above.chain([path]).collect();
    let last = rules.iter().rfind(|rule| paths.iter().any(|path| rule.pattern.is_match(path)));
    last.is_some_and(|rule| !rule.back)
}

/// A pattern as a regular expression over a whole path.
fn expression(pattern: &str) -> String {
    let mut expression = "^".to_owned();
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '*' if letters.next_if_eq(&'*').is_some() => {
                // `**/` stands for no folder, too.
                let folders = letters.next_if_eq(&'/').is_some();
                expression.push_str(if folders { "(.*/)?" } else { ".*" });
            }
            '*' => expression.push_str("[^/]*"),
            '?' => expression.push_str("[^/]"),
            '[' => {
                expression.push('[');
                if letters.next_if_eq(&'^').is_some() {
                    expression.push('^');
                }
            }
            ']' | '-' => expression.push(letter),
            '\\' => expression.push_str(&regex::escape(&letters.next().unwrap_or('\\').to_string())),
            letter => expression.push_str(&regex::escape(&letter.to_string())),
        }
    }
    expression + "$"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::content::{Builder, Limits};

    fn left(paths: &[&str], ignore: &str) -> Vec<String> {
        let mut builder = Builder::new(Limits::default()).unwrap();
        builder.file(FILE.as_bytes(), false, ignore.as_bytes()).unwrap();
        for path in paths {
            builder.file(path.as_bytes(), false, path.as_bytes()).unwrap();
        }
        let context = apply(&builder.finish().unwrap(), "Dockerfile").unwrap();
        let files = context.entries().filter(|(_, entry)| matches!(entry, crate::docker::content::Entry::File { .. }));
        files.map(|(path, _)| path.to_owned()).filter(|path| path != FILE).collect()
    }

    #[test]
    fn patterns_mean_what_they_mean_to_docker() {
        let all = ["Dockerfile", "a.md", "docs/a.md", "docs/b/c.md", "node_modules/x/y", "src/main.rs", "temp1/x"];
        for (ignore, expected) in [
            ("", all.to_vec()),
            ("# a comment\n\n", all.to_vec()),
            ("*.md", vec!["Dockerfile", "docs/a.md", "docs/b/c.md", "node_modules/x/y", "src/main.rs", "temp1/x"]),
            ("**/*.md", vec!["Dockerfile", "node_modules/x/y", "src/main.rs", "temp1/x"]),
            ("/node_modules/\ntemp?", vec!["Dockerfile", "a.md", "docs/a.md", "docs/b/c.md", "src/main.rs"]),
            ("docs\n!docs/b", vec!["Dockerfile", "a.md", "docs/b/c.md", "node_modules/x/y", "src/main.rs", "temp1/x"]),
            ("*\n!src/**", vec!["Dockerfile", "src/main.rs"]),
            ("*/*/c.md", vec!["Dockerfile", "a.md", "docs/a.md", "node_modules/x/y", "src/main.rs", "temp1/x"]),
            ("temp[0-9]", vec!["Dockerfile", "a.md", "docs/a.md", "docs/b/c.md", "node_modules/x/y", "src/main.rs"]),
            ("!docs\ndocs/../docs", vec!["Dockerfile", "a.md", "node_modules/x/y", "src/main.rs", "temp1/x"]),
        ] {
            assert_eq!(left(&all, ignore), expected, "{ignore:?}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        let mut builder = Builder::new(Limits::default()).unwrap();
        builder.file(FILE.as_bytes(), false, &b"a[\n"[..]).unwrap();
        let error = apply(&builder.finish().unwrap(), "Dockerfile").unwrap_err();
        assert!(error.to_string().contains("a["), "{error}");
    }
}
