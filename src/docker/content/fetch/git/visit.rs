//! One repository: its mirror is brought up to date, and read.

use std::{path::PathBuf, sync::atomic::AtomicBool};

use gix_hash::ObjectId;
use gix_object::Exists;

use crate::docker::content::Builder;

use super::{
    super::{
        Class, Error, Networks, Result,
        http::{Client, Credentials as Server},
    },
    http,
    line::Line,
    reference::{Kind, Target, Wanted},
    remote::{Ask, History, Received, Remote},
    request::{Credentials, Known, Limits, Place, Rewritten},
    ssh,
    store::{Store, Trouble, follows},
    tree::{Met, Reader},
    url::GitUrl,
};

/// How much of a commit's name stands for it.
const SHORT: usize = 12;

/// A visit to a repository. It blocks.
pub(super) struct Visit {
    pub place: Place,
    pub wanted: Wanted,
    pub known: Option<Known>,
    pub networks: Networks,
    pub limits: Limits,
    pub line: Line,
}

/// What a visit found.
pub(super) struct Visited {
    pub name: String,
    pub commit: ObjectId,
    pub rewritten: Option<Rewritten>,
    pub met: Met,
}

impl Visit {
    /// Brings the mirror in a folder up to date, and adds the files below a path.
    pub(super) fn read(
        &self,
        folder: PathBuf,
        builder: &mut Builder,
        path: &[u8],
    ) -> std::result::Result<Visited, Trouble> {
        let store = Store::open(folder, self.limits.bounds(), self.limits.pack)?;
        let visited = self.inside(&store, builder, path);
        if matches!(visited, Err(Trouble::Damaged(_))) {
            store.wipe()?;
        }
        visited
    }

    fn inside(&self, store: &Store, builder: &mut Builder, path: &[u8]) -> std::result::Result<Visited, Trouble> {
        let (name, commit, rewritten) = match self.wanted {
            Wanted::Commit(commit) => {
                if !store.has(commit) {
                    self.bring_commit(store, commit)?;
                }
                (short(commit), commit, None)
            }
            Wanted::Default | Wanted::Branch(_) | Wanted::Tag(_) | Wanted::Version(_) => {
                let mut remote = self.connect()?;
                let Target { name, object, commit, kind } = self.find(&mut remote)?;
                let mut fresh = true;
                if !store.has(commit) {
                    let ask = Ask { want: vec![object], have: store.latest(), history: History::None };
                    if self.bring_lean(store, &mut remote, &ask)? == Received::Missing {
                        return Err(self.vanished().into());
                    }
                    store.mark(commit)?;
                    fresh = false;
                }
                let remote = (fresh || remote.is_reusable()).then_some(remote);
                let rewritten = self.judge_past(remote, &name, object, commit, kind)?;
                (name, commit, rewritten)
            }
        };
        let met = Reader::new(store, self.limits.bounds(), self.stop(), builder)?.add(commit, path)?;
        Ok(Visited { name, commit, rewritten, met })
    }

    /// What the reference stands for. Of a commit, nobody is asked.
    pub(super) fn look(&self) -> Result<(String, ObjectId)> {
        match self.wanted {
            Wanted::Commit(commit) => Ok((short(commit), commit)),
            Wanted::Default | Wanted::Branch(_) | Wanted::Tag(_) | Wanted::Version(_) => {
                let Target { name, commit, .. } = self.find(&mut self.connect()?)?;
                Ok((name, commit))
            }
        }
    }

    fn find(&self, remote: &mut Remote) -> Result<Target> {
        let listed = remote.list(&self.wanted.prefixes())?;
        match self.wanted.choose(&listed) {
            Some(target) => Ok(target),
            None => {
                let others = match self.wanted.alternatives() {
                    alternatives if alternatives == self.wanted.prefixes() || !remote.is_reusable() => listed,
                    alternatives => remote.list(&alternatives)?,
                };
                Err(self.wanted.missing(self.place.url.to_string(), &others))
            }
        }
    }

    fn connect(&self) -> Result<Remote> {
        let Place { url, credentials, ca, allow_insecure: _ } = &self.place;
        self.place.check()?;
        let times = self.limits.times;
        let line = self.line.clone();
        let (transport, complaint) = match (url, credentials) {
            (GitUrl::Http(url), credentials) => {
                let basic = match credentials {
                    Credentials::Basic(basic) => Some(Server::new(basic, url)?),
                    Credentials::None | Credentials::Ssh(_) => None,
                };
                let client = Client::new(&self.networks, ca.as_deref(), times)?;
                (http::connect(url, client, basic, line.clone())?, None)
            }
            (GitUrl::Ssh(url), Credentials::Ssh(access)) => {
                let (transport, complaint) = ssh::connect(url, access, &self.networks, times, &line)?;
                (transport, Some(complaint))
            }
            (GitUrl::Ssh(_), Credentials::None | Credentials::Basic(_)) => {
                return Err(Error::Invalid(format!("{url} wants an SSH key")));
            }
        };
        Remote::greet(transport, url, line, complaint)
    }

    /// Receives what is asked for into the store.
    fn bring(&self, store: &Store, remote: &mut Remote, ask: &Ask) -> std::result::Result<Received, Trouble> {
        let mut pack = store.spool()?;
        let received = remote.fetch(ask, self.limits.pack, &mut pack)?;
        if received == Received::Pack {
            store.take(pack, self.stop(), &self.line.host())?;
        }
        Ok(received)
    }

    /// Receives what is asked for as a difference to what is there. What is too large in that way may not be so as a whole.
    fn bring_lean(&self, store: &Store, remote: &mut Remote, ask: &Ask) -> std::result::Result<Received, Trouble> {
        match self.bring(store, remote, ask) {
            Err(Trouble::Other(Error::TooLarge { .. })) if ask.have.is_some() => {
                store.empty()?;
                self.bring(store, &mut self.connect()?, &Ask { have: None, ..ask.clone() })
            }
            outcome => outcome,
        }
    }

    /// Receives a commit by its name, or everything if the server does not give it by its name.
    fn bring_commit(&self, store: &Store, commit: ObjectId) -> std::result::Result<(), Trouble> {
        let mut remote = self.connect()?;
        let ask = Ask { want: vec![commit], have: store.latest(), history: History::None };
        let hides = remote.hides_objects();
        if self.bring_lean(store, &mut remote, &ask)? == Received::Missing {
            if !hides {
                return Err(self.vanished().into());
            }
            let mut remote = self.connect()?;
            let listed = remote.list(&self.wanted.prefixes())?;
            let mut want: Vec<_> = listed.iter().map(|reference| reference.object).collect();
            want.sort_unstable();
            want.dedup();
            if want.is_empty() {
                return Err(self.vanished().into());
            }
            self.bring(store, &mut remote, &Ask { want, have: None, history: History::All })?;
            if !store.objects()?.exists(&commit) {
                return Err(self.vanished().into());
            }
        }
        store.mark(commit)?;
        Ok(())
    }

    /// Whether the past was changed since the known commit.
    fn judge_past(
        &self,
        remote: Option<Remote>,
        name: &str,
        object: ObjectId,
        commit: ObjectId,
        kind: Kind,
    ) -> Result<Option<Rewritten>> {
        let Some(known) = self.known.as_ref().filter(|known| known.name == name) else { return Ok(None) };
        let known = known.id()?;
        if known == commit {
            return Ok(None);
        }
        match kind {
            Kind::Tag => Ok(Some(Rewritten::MovedTag)),
            Kind::Branch => match self.descends(remote, object, known) {
                Ok(descends) => Ok((!descends).then_some(Rewritten::ForcePush)),
                Err(Trouble::Other(error)) if error.class() == Class::Wait => Err(error),
                // The files are there; that their past is not known does not matter as much.
                Err(Trouble::Other(error)) => {
                    tracing::debug!(%error, "the history of a branch cannot be judged");
                    Ok(None)
                }
                Err(Trouble::Damaged(problem)) => {
                    tracing::debug!(problem, "the history of a branch cannot be judged");
                    Ok(None)
                }
            },
        }
    }

    fn descends(
        &self,
        remote: Option<Remote>,
        object: ObjectId,
        known: ObjectId,
    ) -> std::result::Result<bool, Trouble> {
        let mut remote = match remote {
            Some(remote) => remote,
            None => self.connect()?,
        };
        let mut pack = tempfile::tempfile().map_err(Error::Storage)?;
        let ask = Ask { want: vec![object], have: Some(known), history: History::Since };
        match remote.fetch(&ask, self.limits.pack, &mut pack)? {
            Received::Pack => follows(pack, known, self.limits.bounds(), self.stop(), &self.line.host()),
            Received::Unrelated => Ok(false),
            Received::Missing => Err(self.vanished().into()),
        }
    }

    fn vanished(&self) -> Error {
        self.wanted.missing(self.place.url.to_string(), &[])
    }

    fn stop(&self) -> &AtomicBool {
        self.line.stopped()
    }
}

fn short(commit: ObjectId) -> String {
    commit.to_string().chars().take(SHORT).collect()
}
