//! A command written as one line, divided into words the way Docker Compose does, without any shell.

/// Divides a line into words. What would need a shell is an error, where Docker Compose silently drops the rest.
pub fn split(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match (character, quote) {
            ('\\', None | Some('"')) => {
                let escaped = match characters.next().ok_or("a backslash stands at the end")? {
                    't' => '\t',
                    'n' => '\n',
                    other => other,
                };
                word.get_or_insert_default().push(escaped);
            }
            (character, Some(open)) if character == open => quote = None,
            ('\'' | '"', None) => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (' ' | '\t' | '\r' | '\n', None) => words.extend(word.take()),
            (';' | '&' | '|' | '<' | '>' | '(' | ')' | '`', None) => return Err("it needs a shell"),
            (character, _) => word.get_or_insert_default().push(character),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed");
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_divided_at_spaces_outside_of_quotes() {
        for (line, expected) in [
            ("", vec![]),
            ("  nginx  -g 'daemon off;' ", vec!["nginx", "-g", "daemon off;"]),
            ("sh -c \"a && b | c > d\"", vec!["sh", "-c", "a && b | c > d"]),
            ("a\\ b 'c\\n' \"d\\\"e\" \\t", vec!["a b", "c\\n", "d\"e", "\t"]),
            ("a'b'\"c\"d", vec!["abcd"]),
            ("a '' \"\"", vec!["a", "", ""]),
            ("echo $HOME #no comment", vec!["echo", "$HOME", "#no", "comment"]),
        ] {
            assert_eq!(split(line), Ok(expected.into_iter().map(str::to_owned).collect()), "{line:?}");
        }
    }

    #[test]
    fn what_a_shell_would_have_to_do_is_an_error() {
        for line in ["a && b", "a; b", "a > b", "a | b", "a `b`", "a $(b)", "(a)", "a 'b", "a \"b", "a \\"] {
            assert!(split(line).is_err(), "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in "\\PC{0,40}") {
            let _ = split(&line);
        }
    }
}
