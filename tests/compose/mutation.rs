//! Whatever is done to the files of the corpus, reading them ends with a project or with problems.

use bytes::Bytes;
use cloudfaster::docker::compose::{Request, Sources, Variables, load};
use proptest::prelude::*;

use crate::case::cases;

/// Texts that mean something to one of the stages.
const TOKENS: &[&str] = &[
    "&a ",
    "*a",
    "<<: ",
    "!reset ",
    "!override ",
    "${",
    "}",
    "$$",
    ":-",
    "[",
    "]",
    "{",
    "}",
    "\n",
    "  ",
    "- ",
    ": ",
    "#",
    "'",
    "\"",
    "|",
    "~",
    "null",
    "0x",
    "1e9",
    "-",
    "..",
    "/",
    "\u{feff}",
    "\u{0}",
    "ü",
    "extends: web",
    "include: [compose.yaml]",
    "%YAML 1.1",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_change_of_a_file_makes_reading_panic(
        case in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..6, prop::sample::select(TOKENS)), 1..5),
    ) {
        thread_local!(static CASES: Vec<(Bytes, Sources)> = cases().iter().filter_map(|case| {
            let text = std::fs::read(case.folder.join("compose.yaml")).ok()?;
            Some((text.into(), case.sources()))
        }).collect());
        CASES.with(|cases| {
            let (text, sources) = &cases[case.index(cases.len())];
            let mut text = text.to_vec();
            for (at, removed, token) in changes {
                let at = at.index(text.len() + 1);
                let end = (at + removed).min(text.len());
                text.splice(at..end, token.bytes());
            }
            let mut sources = sources.clone();
            sources.insert("compose.yaml".to_owned(), text.into());
            let (files, variables) = (["compose.yaml".to_owned()], Variables::new());
            let request = Request { sources: &sources, files: &files, variables: &variables, profiles: &[], name: "project" };
            if let Err(problems) = load(request) {
                assert!(problems.iter().all(|problem| !problem.message.is_empty() && !problem.remedy.is_empty()));
            }
        });
    }
}
