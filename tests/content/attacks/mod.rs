//! Attacks, each of which is refused with its reason.

mod names;
mod sizes;
mod tars;
mod zips;

use std::collections::BTreeSet;

use crate::read;

/// What it is called, its bytes, and words that the refusal has.
type Attack = (String, Vec<u8>, &'static str);

fn named(attacks: Vec<(&str, Vec<u8>, &'static str)>) -> Vec<Attack> {
    attacks.into_iter().map(|(name, bytes, words)| (name.to_owned(), bytes, words)).collect()
}

fn refuse(attacks: Vec<Attack>, least: usize) {
    assert!(attacks.len() >= least, "{}", attacks.len());
    let mut names = BTreeSet::new();
    let mut wrong = Vec::new();
    for (name, bytes, words) in attacks {
        assert!(names.insert(name.clone()), "{name} is there twice");
        match read(&bytes) {
            Ok(content) => wrong.push(format!("{name}: read as {:?}", crate::listed(&content))),
            Err(error) if !error.to_string().contains(words) => wrong.push(format!("{name}: {error}")),
            Err(error) if error.is_passing() => wrong.push(format!("{name}: passes: {error}")),
            Err(error) if error.to_string().len() > 600 => wrong.push(format!("{name}: is told at length: {error}")),
            Err(_) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_and_links_that_lead_out_or_are_ambiguous() {
    refuse(names::attacks(), 186);
}

#[test]
fn bombs() {
    refuse(sizes::attacks(), 24);
}

#[test]
fn tar_archives_that_lie() {
    refuse(tars::attacks(), 60);
}

#[test]
fn zip_archives_that_lie() {
    refuse(zips::attacks(), 82);
}
