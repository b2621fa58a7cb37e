//! What can only be judged when all entries are known: where links lead, and which names are alike.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use super::{
    Entry, Placed,
    error::{BadLink, Error, shown},
    path,
};

/// Through how many links a path may lead on Linux.
const HOPS: u32 = 40;

const ROOT: usize = 0;

/// Judges a tree, in which each entry's folder is an entry, too.
pub(super) fn check(entries: &BTreeMap<String, Placed>) -> Result<(), Error> {
    let mut tree = Tree::default();
    let mut seen: HashMap<(usize, Cow<'_, str>), &str> = HashMap::new();
    let mut links = Vec::new();
    for (id, (path, placed)) in (ROOT + 1..).zip(entries) {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folders = tree.folders(folder);
        let parent = folders.last().copied().unwrap_or(ROOT);
        if let Some(other) = seen.insert((parent, path::alike(name)), path) {
            return Err(Error::Alike { one: shown(other.as_bytes()), other: shown(path.as_bytes()) });
        }
        let target = match &placed.entry {
            Entry::Link { target } => {
                links.push((id, path, target, folders));
                Some(target.as_str())
            }
            Entry::Folder | Entry::File { .. } => None,
        };
        tree.nodes.insert((parent, name), Node { id, target });
    }
    for (id, path, target, folders) in links {
        tree.follow(id, target, &folders, 0).map_err(|why| Error::Link {
            path: shown(path.as_bytes()),
            target: shown(target.as_bytes()),
            why,
        })?;
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Node<'a> {
    id: usize,
    /// Of a link.
    target: Option<&'a str>,
}

/// Where a path leads: the folders from the root on, and how many parts of it are not there.
#[derive(Clone)]
struct Place {
    folders: Vec<usize>,
    missing: u32,
}

/// What is known of a link.
#[derive(Clone)]
enum Followed {
    /// It is being followed.
    Started,
    /// It leads there, through so many links, itself included.
    Done(Place, u32),
}

#[derive(Default)]
struct Tree<'a> {
    /// By parent and name.
    nodes: HashMap<(usize, &'a str), Node<'a>>,
    /// Each link is followed once: a chain of links would take exponential time otherwise.
    followed: HashMap<usize, Followed>,
}

impl<'a> Tree<'a> {
    /// The folders that a path consists of.
    fn folders(&self, path: &'a str) -> Vec<usize> {
        let mut folders = Vec::new();
        for part in path.split('/') {
            let parent = folders.last().copied().unwrap_or(ROOT);
            folders.extend(self.nodes.get(&(parent, part)).map(|node| node.id));
        }
        folders
    }

    /// Where a link leads, and through how many. What is not there may come at run time, so it is no error.
    fn follow(&mut self, id: usize, target: &'a str, folders: &[usize], depth: u32) -> Result<(Place, u32), BadLink> {
        match self.followed.get(&id) {
            Some(Followed::Started) => return Err(BadLink::Circle),
            Some(Followed::Done(place, hops)) => return Ok((place.clone(), *hops)),
            None if depth >= HOPS => return Err(BadLink::Chain),
            None => {}
        }
        self.followed.insert(id, Followed::Started);
        let mut place = Place { folders: folders.to_vec(), missing: 0 };
        let mut hops = 1_u32;
        for part in target.split('/') {
            match part {
                "" | "." => {}
                ".." if place.missing > 0 => place.missing -= 1,
                ".." => {
                    place.folders.pop().ok_or(BadLink::Leaves)?;
                }
                _ if place.missing > 0 => place.missing += 1,
                name => {
                    let parent = place.folders.last().copied().unwrap_or(ROOT);
                    match self.nodes.get(&(parent, name)).copied() {
                        None => place.missing = 1,
                        Some(Node { id, target: None }) => place.folders.push(id),
                        Some(Node { id, target: Some(target) }) => {
                            let (there, more) = self.follow(id, target, &place.folders, depth + 1)?;
                            place = there;
                            hops = hops.saturating_add(more);
                        }
                    }
                }
            }
            if hops > HOPS {
                return Err(BadLink::Chain);
            }
        }
        self.followed.insert(id, Followed::Done(place.clone(), hops));
        Ok((place, hops))
    }
}
