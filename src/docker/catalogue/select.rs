//! Which entries are meant, and whether they go together.

use super::entry::{Entry, Kind};
use super::{Error, Request};

/// What is composed.
pub(super) struct Selection<'a> {
    /// The types in the order of the catalogue, with those that were brought.
    pub entries: Vec<&'a Entry>,
    /// The one of them that answers people.
    pub web: Option<&'a Entry>,
    pub filebrowser: Option<&'a Entry>,
}

impl<'a> Selection<'a> {
    /// The databases, in the order of the catalogue.
    pub fn databases(&self) -> impl DoubleEndedIterator<Item = &'a Entry> {
        self.entries.iter().copied().filter(|entry| entry.kind == Kind::Database)
    }

    fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.name == name)
    }
}

pub(super) fn select<'a>(entries: &'a [Entry], request: &Request<'_>) -> Result<Selection<'a>, Error> {
    let types = || entries.iter().filter(|entry| entry.kind != Kind::Companion);
    let chosen = chosen(types().collect(), request.types)?;
    let web = web(&chosen)?;
    // What the web type contains is not run besides.
    let entries_run = types().filter(|entry| match entry.kind {
        Kind::Web => web.is_some_and(|web| web.name == entry.name),
        Kind::Database | Kind::Companion => chosen.iter().any(|chosen| chosen.name == entry.name),
    });
    let mut selection = Selection { entries: entries_run.collect(), web, filebrowser: None };
    let Some(web) = web else {
        let (named, others) = (names(&chosen), names_of(types().filter(|entry| entry.kind == Kind::Web)));
        return match request {
            Request { with_source: true, .. } => Err(Error::UselessSource { types: named, web: others }),
            Request { filebrowser: true, .. } => Err(Error::UselessFilebrowser { types: named, web: others }),
            _ => Ok(selection),
        };
    };
    if let Some(reason) = web.requires_source.as_ref().filter(|_| !request.with_source) {
        return Err(Error::NeedsSource { name: web.name.clone(), reason: reason.clone() });
    }
    if let Some((database, reason)) = selection.databases().find_map(|it| web.refuses.get_key_value(&it.name)) {
        let (web, database) = (web.name.clone(), database.clone());
        return Err(Error::Unusable { web, database, reason: reason.clone() });
    }
    if let Some(brings) = web.brings.as_ref().filter(|_| !web.needs.iter().any(|name| selection.has(name))) {
        selection.entries = types().filter(|entry| selection.has(&entry.name) || entry.name == *brings).collect();
    }
    if request.filebrowser {
        selection.filebrowser = entries.iter().find(|entry| entry.kind == Kind::Companion);
    }
    Ok(selection)
}

/// The entries that are named, in the order of the catalogue.
fn chosen<'a>(types: Vec<&'a Entry>, wanted: &[String]) -> Result<Vec<&'a Entry>, Error> {
    let mut chosen: Vec<&Entry> = Vec::new();
    for name in wanted {
        let entry = find(&types, name)?;
        if chosen.iter().any(|other| other.name == entry.name) {
            return Err(Error::Twice(entry.name.clone()));
        }
        chosen.push(entry);
    }
    if chosen.is_empty() {
        return Err(Error::Nothing { known: names(&types) });
    }
    Ok(types.into_iter().filter(|entry| chosen.iter().any(|chosen| chosen.name == entry.name)).collect())
}

/// The one web type that contains the others.
fn web<'a>(chosen: &[&'a Entry]) -> Result<Option<&'a Entry>, Error> {
    let webs: Vec<&Entry> = chosen.iter().copied().filter(|entry| entry.kind == Kind::Web).collect();
    let contains = |web: &Entry, other: &Entry| other.name == web.name || web.includes.contains(&other.name);
    let Some(first) = webs.first() else { return Ok(None) };
    let whole = webs.iter().find(|web| webs.iter().all(|other| contains(web, other)));
    match (whole, webs.get(1)) {
        (None, Some(second)) => Err(Error::TwoWebTypes { first: first.name.clone(), second: second.name.clone() }),
        (whole, _) => Ok(whole.copied()),
    }
}

fn find<'a>(types: &[&'a Entry], name: &str) -> Result<&'a Entry, Error> {
    let wanted = folded(name);
    let names_of_entry = |entry: &'a Entry| entry.aliases.iter().chain([&entry.name]);
    if let Some(entry) = types.iter().find(|entry| names_of_entry(entry).any(|name| folded(name) == wanted)) {
        return Ok(entry);
    }
    let alike = |entry: &Entry| strsim::damerau_levenshtein(&folded(&entry.name), &wanted);
    // A name is not compared that is longer than any that is known can be with a slip.
    let near =
        types.iter().filter(|_| wanted.len() < 32).map(|entry| (alike(entry), entry)).min_by_key(|(slips, _)| *slips);
    let near = near.filter(|(slips, entry)| *slips <= 1 + entry.name.len() / 4);
    Err(Error::Unknown {
        name: shortened(name),
        nearest: near.map(|(_, entry)| format!(" (did you mean {}?)", entry.name)).unwrap_or_default(),
        known: names(types),
    })
}

/// A name without what does not matter in it.
pub(super) fn folded(name: &str) -> String {
    name.chars().filter(|letter| !matches!(letter, '.' | '-' | '_' | ' ')).flat_map(char::to_lowercase).collect()
}

/// What users wrote, for a message.
pub(super) fn shortened(text: &str) -> String {
    let start: String = text.chars().take(40).collect();
    let escaped = start.escape_debug().to_string();
    if start.len() < text.len() { format!("{escaped}…") } else { escaped }
}

fn names(entries: &[&Entry]) -> String {
    names_of(entries.iter().copied())
}

fn names_of<'a>(entries: impl Iterator<Item = &'a Entry>) -> String {
    entries.map(|entry| entry.name.as_str()).collect::<Vec<_>>().join(", ")
}
