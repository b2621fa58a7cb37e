//! What a repository says of its submodules, in `.gitmodules`.

use std::collections::BTreeMap;

/// The URLs of submodules by their paths. What is not understood says nothing.
pub(super) fn parse(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut path = None;
    let mut url = None;
    let mut inside = false;
    let joined = text.replace("\\\r\n", "").replace("\\\n", "");
    for line in joined.lines().chain(["[end]"]) {
        let line = line.trim();
        if line.starts_with('[') {
            if let (true, Some(path), Some(url)) = (inside, path.take(), url.take()) {
                found.insert(path, url);
            }
            (path, url) = (None, None);
            inside = line.get(..10).is_some_and(|start| start.eq_ignore_ascii_case("[submodule"));
            continue;
        }
        let Some((key, value)) = line.split_once('=') else { continue };
        match key.trim().to_ascii_lowercase().as_str() {
            "path" => path = Some(unquote(value.trim()).trim_end_matches('/').to_owned()),
            "url" => url = Some(unquote(value.trim())),
            _ => {}
        }
    }
    found
}

/// A value without quotes, escapes and comments.
fn unquote(value: &str) -> String {
    let mut text = String::new();
    let mut quoted = false;
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => quoted = !quoted,
            '\\' => match characters.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some(escaped) => text.push(escaped),
                None => {}
            },
            '#' | ';' if !quoted => return text.trim_end().to_owned(),
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn submodules_are_found_by_their_paths() {
        let text = "# comment\n[core]\n\tpath = no\n\turl = no\n[submodule \"a\"]\n\tpath = libs/a\n\turl = ../a.git\n\
                    \tbranch = main\n[Submodule \"b\"]\n  URL = \"https://git.example/b#1\" ; comment\n  path = b\\\n/c/\n\
                    [submodule \"incomplete\"]\n path = d\n[submodule \"last\"]\npath=\"with \\\"quotes\\\"\"\nurl=x # y\n";
        let found = parse(text);
        let found: Vec<_> = found.iter().map(|(path, url)| (path.as_str(), url.as_str())).collect();
        assert_eq!(found, [("b/c", "https://git.example/b#1"), ("libs/a", "../a.git"), ("with \"quotes\"", "x")]);
    }

    proptest! {
        #[test]
        fn garbage_is_survived(text in "[\\[\\]a-z\"\\\\=#\n\u{e4} ]{0,80}") {
            parse(&text);
        }
    }
}
