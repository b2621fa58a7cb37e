//! What is being talked to, by the name of the object that says how.

use std::{collections::HashMap, sync::Arc};

use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

use crate::proxmox::plan::Reason;

/// Something that is being talked to with the settings of one object.
pub trait Session {
    /// What the settings were made of, to tell when they change.
    fn fingerprint(&self) -> &str;

    /// Ends what goes on for it.
    fn end(&self);
}

/// All sessions of a kind, by the name of their object.
pub struct Sessions<T> {
    shutdown: CancellationToken,
    /// Why there is none yet.
    unknown: Reason,
    sessions: RwLock<HashMap<String, Result<Arc<T>, Reason>>>,
}

impl<T: Session> Sessions<T> {
    /// None yet; the word says so in a condition.
    pub fn new(shutdown: CancellationToken, word: &str) -> Self {
        Self { shutdown, unknown: Reason::new(word, "it is being connected to"), sessions: RwLock::default() }
    }

    /// What ends a session that is about to begin; all end with the process.
    pub fn token(&self) -> CancellationToken {
        self.shutdown.child_token()
    }

    /// The session of an object.
    ///
    /// # Errors
    /// Why there is none.
    pub fn get(&self, name: &str) -> Result<Arc<T>, Reason> {
        match self.sessions.read().get(name) {
            Some(session) => session.clone(),
            None => Err(self.unknown.clone()),
        }
    }

    /// The session of an object, if it runs with these very settings.
    pub fn current(&self, name: &str, fingerprint: &str) -> Option<Arc<T>> {
        self.get(name).ok().filter(|session| session.fingerprint() == fingerprint)
    }

    /// Puts a session in place of the one that ran before.
    pub fn put(&self, name: &str, session: Arc<T>) {
        end(self.sessions.write().insert(name.to_owned(), Ok(session)));
    }

    /// Notes why an object has no session; whether that is news.
    pub fn refuse(&self, name: &str, reason: Reason) -> bool {
        let before = self.sessions.write().insert(name.to_owned(), Err(reason.clone()));
        let news = !matches!(&before, Some(Err(known)) if *known == reason);
        end(before);
        news
    }

    /// The object is gone.
    pub fn remove(&self, name: &str) {
        end(self.sessions.write().remove(name));
    }

    /// Those that run.
    pub fn all(&self) -> Vec<Arc<T>> {
        self.sessions.read().values().flatten().cloned().collect()
    }
}

fn end<T: Session>(before: Option<Result<Arc<T>, Reason>>) {
    if let Some(Ok(old)) = before {
        old.end();
    }
}
