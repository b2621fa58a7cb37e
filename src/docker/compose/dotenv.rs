//! Files of variables: `.env`, `env_file` and `label_file`, in the reading of Docker Compose.

use std::collections::BTreeMap;

use super::model::At;
use super::problem::Problem;
use super::variables::{Failure, substitute};

/// Looks up a variable that the file does not set itself.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads a file with quotes, escapes, comments and variables. What it sets is added to `set`; variables in values are what
/// `lookup` says, then what was set before.
pub fn parse(file: &str, text: &str, set: &mut BTreeMap<String, String>, lookup: Lookup<'_>) -> Result<(), Problem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut rest = Rest { file, text, whole: text };
    while rest.skip_to_statement() {
        let statement = rest.clone();
        let (key, inherited) = rest.key()?;
        if key.contains(char::is_whitespace) {
            return Err(statement.problem("the name of a variable holds a space", "write `NAME=value`"));
        }
        if inherited {
            if let Some(value) = lookup(&key) {
                set.insert(key, value);
            }
            continue;
        }
        let value = rest.value(set, lookup)?;
        set.insert(key, value);
    }
    Ok(())
}

/// Reads a file of lines `NAME=value` whose values stand for themselves. A name alone takes what `lookup` says.
pub fn parse_raw(
    file: &str,
    text: &str,
    set: &mut BTreeMap<String, String>,
    lookup: Lookup<'_>,
) -> Result<(), Problem> {
    for (index, line) in text.strip_prefix('\u{feff}').unwrap_or(text).lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = || At { file: file.into(), line: u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1) };
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (line, lookup(line)),
        };
        if key.is_empty() || key.contains([' ', '\t']) {
            return Err(Problem::new(
                &at(),
                "",
                "a line has no name of a variable, or one with a space",
                "write `NAME=value`",
            ));
        }
        if let Some(value) = value {
            set.insert(key.to_owned(), value);
        }
    }
    Ok(())
}

/// What is not read yet.
#[derive(Clone)]
struct Rest<'a> {
    file: &'a str,
    text: &'a str,
    whole: &'a str,
}

impl Rest<'_> {
    fn problem(&self, message: &str, remedy: &str) -> Problem {
        let read = self.whole.len().saturating_sub(self.text.len());
        let line = self.whole.get(..read).unwrap_or_default().matches('\n').count().saturating_add(1);
        let at = At { file: self.file.into(), line: u32::try_from(line).unwrap_or(u32::MAX) };
        Problem::new(&at, "", message, remedy)
    }

    /// Goes to the next statement; false at the end.
    fn skip_to_statement(&mut self) -> bool {
        loop {
            self.text = self.text.trim_start();
            if !self.text.starts_with('#') {
                return !self.text.is_empty();
            }
            self.text = self.text.split_once('\n').map_or("", |(_, rest)| rest);
        }
    }

    /// The name of the next variable, and whether it is given without a value.
    fn key(&mut self) -> Result<(String, bool), Problem> {
        let start = self.clone();
        if let Some(rest) = self.text.strip_prefix("export").filter(|rest| rest.starts_with(char::is_whitespace)) {
            self.text = rest.trim_start_matches(is_blank);
        }
        let end = self.text.char_indices().find(|(_, character)| matches!(character, '=' | ':' | '\n'));
        let (key, inherited, rest) = match end {
            Some((index, character)) => {
                let (key, rest) = self.text.split_at_checked(index).unwrap_or((self.text, ""));
                (key, character == '\n', rest.get(1..).unwrap_or_default())
            }
            // Docker Compose ignores a name without a value that no line break follows.
            None => (self.text, true, ""),
        };
        let wrong = |c: &char| !(c.is_alphanumeric() || is_blank(*c) || matches!(c, '_' | '.' | '-' | '[' | ']'));
        if let Some(character) = key.chars().find(wrong) {
            let message = format!("`{character}` in the name of a variable");
            return Err(start.problem(&message, "use letters, digits and `_`"));
        }
        let key = key.trim_end().to_owned();
        if key.is_empty() {
            return Err(start.problem("a variable without a name", "write `NAME=value`"));
        }
        self.text = rest.trim_start_matches(is_blank);
        Ok((key, inherited))
    }

    /// The value of the variable whose name was just read.
    fn value(&mut self, set: &BTreeMap<String, String>, lookup: Lookup<'_>) -> Result<String, Problem> {
        let start = self.clone();
        let expand = |text: &str| {
            let known = |name: &str| lookup(name).or_else(|| set.get(name).cloned());
            substitute(text, &known).map(|done| done.text).map_err(|failure| start.explained(failure))
        };
        let quote = match self.text.chars().next() {
            Some(quote @ ('\'' | '"')) => quote,
            _ => {
                let (line, rest) = self.text.split_once('\n').unwrap_or((self.text, ""));
                self.text = rest;
                return expand(line.split_once(" #").map_or(line, |(value, _)| value).trim_end());
            }
        };
        let quoted = self.text.get(1..).unwrap_or_default();
        let (mut value, mut escaped) = (String::new(), false);
        for (index, character) in quoted.char_indices() {
            match (character, escaped) {
                ('\\', false) => escaped = true,
                (character, false) if character == quote => {
                    self.text = quoted.get(index.saturating_add(1)..).unwrap_or_default();
                    return if quote == '"' { expand(&unescaped(&value)) } else { Ok(value) };
                }
                (character, escape) => {
                    if escape && character != quote {
                        value.push('\\');
                    }
                    value.push(character);
                    escaped = false;
                }
            }
        }
        Err(start.problem("a quote is not closed", "close it"))
    }

    fn explained(&self, failure: Failure) -> Problem {
        match failure {
            Failure::Invalid(form) => {
                self.problem(&format!("`{form}` is no form of a variable"), "use single quotes, or `$$` for a dollar")
            }
            Failure::Required(name, reason) => {
                self.problem(&format!("the variable `{name}` must have a value: {reason}"), "set it in `env`")
            }
            Failure::TooDeep | Failure::TooLong => self.problem("variables become too long", "use shorter values"),
        }
    }
}

/// A space that does not end a line.
fn is_blank(character: char) -> bool {
    matches!(character, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{85}' | '\u{a0}')
}

/// Undoes the escapes of double quotes. `\$` becomes `$$`, which variables leave as a dollar.
fn unescaped(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        result.push_str(before);
        let Some(character) = after.chars().next() else {
            result.push('\\');
            return result;
        };
        let plain = match character {
            'a' => "\u{7}",
            'b' => "\u{8}",
            'f' => "\u{c}",
            'n' => "\n",
            'r' => "\r",
            't' => "\t",
            'v' => "\u{b}",
            '"' => "\"",
            '\\' => "\\",
            '$' => "$$",
            '0' => {
                let digits = after.get(1..4).filter(|digits| digits.bytes().all(|byte| matches!(byte, b'0'..=b'7')));
                if let Some(code) = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
                    result.push(char::from(code));
                    rest = after.get(4..).unwrap_or_default();
                    continue;
                }
                result.push('\\');
                rest = after;
                continue;
            }
            _ => {
                result.push('\\');
                rest = after;
                if character == '\\' {
                    rest = after.get(1..).unwrap_or_default();
                }
                continue;
            }
        };
        result.push_str(plain);
        rest = after.get(character.len_utf8()..).unwrap_or_default();
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, String> {
        let mut set = BTreeMap::new();
        let lookup = |name: &str| (name == "OUTER").then(|| "outer".to_owned());
        parse(".env", text, &mut set, &lookup).map_err(|problem| problem.to_string())?;
        Ok(set.into_iter().collect())
    }

    #[test]
    fn values_are_read_with_quotes_escapes_comments_and_variables() {
        for (text, expected) in [
            ("A=b", vec![("A", "b")]),
            ("  A = b  # comment\n#B=c\n\nC=d#e", vec![("A", "b"), ("C", "d#e")]),
            ("export A=b", vec![("A", "b")]),
            ("A: b", vec![("A", "b")]),
            ("A=", vec![("A", "")]),
            ("A='$B \\n \\' #'", vec![("A", "$B \\n ' #")]),
            ("A=\"x\\ty\\$B\\\"\"", vec![("A", "x\ty$B\"")]),
            ("A=\"two\nlines\"\nB=c", vec![("A", "two\nlines"), ("B", "c")]),
            ("A=x\nB=${A}-$OUTER-${C:-d}", vec![("A", "x"), ("B", "x-outer-d")]),
            ("OUTER=mine\nB=$OUTER", vec![("B", "outer"), ("OUTER", "mine")]),
            ("OUTER\nOTHER\nB=c", vec![("B", "c"), ("OUTER", "outer")]),
            ("A=b\r\nC=d\r\n", vec![("A", "b"), ("C", "d")]),
            ("\u{feff}A=b", vec![("A", "b")]),
            ("A=$$B", vec![("A", "$B")]),
            ("a.b-c[0]=d", vec![("a.b-c[0]", "d")]),
        ] {
            let expected = expected.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            assert_eq!(read(text), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line) in
            [("A=b\nB!=c", 2), ("A B=c", 1), ("\n\nA='b", 3), ("=b", 1), ("A=b\nC=${", 2), ("A=${B:?needed}", 1)]
        {
            let message = read(text).expect_err(text);
            assert!(message.starts_with(&format!(".env:{line}: ")), "{text:?}: {message}");
        }
    }

    #[test]
    fn raw_values_stand_for_themselves() {
        let mut set = BTreeMap::new();
        let lookup = |name: &str| (name == "OUTER").then(|| "outer".to_owned());
        let text = "A='b' # c\n  B=$A \n# no\nOUTER\nOTHER\n";
        parse_raw("raw.env", text, &mut set, &lookup).expect("valid");
        let expected = [("A", "'b' # c"), ("B", "$A "), ("OUTER", "outer")];
        assert_eq!(set, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        assert!(parse_raw("raw.env", "A B=c", &mut set, &lookup).is_err());
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic(text in "[A-Ca-c0-7'\"\\\\\n\r $={}#:.ü-]{0,60}") {
            let _ = read(&text);
        }
    }
}
