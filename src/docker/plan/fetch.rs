//! Images: pulled or built before anything else is touched.

use super::{
    super::{
        desired::{Fetch, Service},
        observed::{Class, TaskSight},
        recorded::Fetched,
    },
    Action, Look,
    round::{Problem, Round},
};
use crate::reason::Reason;

/// Whether an image is there to make containers from.
pub(super) enum Supply {
    /// It is.
    There(String),
    /// Not yet.
    Awaited,
}

impl Round<'_> {
    /// What an image is fetched for now.
    fn cause(&self, service: &Service) -> String {
        match &service.fetch {
            Fetch::Build(hash) => hash.clone(),
            Fetch::Always => match &self.deployment.restart {
                Some(restart) => format!("{} {restart}", self.deployment.release),
                None => self.deployment.release.clone(),
            },
            Fetch::Every(_) => {
                self.context.recorded.fetched.get(&service.image).map(|last| last.at.to_string()).unwrap_or_default()
            }
            Fetch::Never | Fetch::Missing => String::new(),
        }
    }

    /// The image of a service as it was fetched, unless it is to be fetched anew.
    pub fn fetched_image(&self, service: &Service) -> Option<String> {
        let fetched = self.context.recorded.fetched.get(&service.image)?;
        let valid = match service.fetch {
            Fetch::Every(_) => true,
            Fetch::Build(_) | Fetch::Always => fetched.cause == self.cause(service),
            Fetch::Never | Fetch::Missing => false,
        };
        valid.then(|| fetched.image.clone())
    }

    /// Sees to it that the image of a service is there; `needed` if a container is to be made from it.
    pub fn supply(&mut self, name: &str, service: &Service, needed: bool) -> Supply {
        if let Some(id) = self.former_image(name) {
            match self.has_image(&id) {
                Some(true) => return Supply::There(id),
                // By its name it may be fetched again.
                Some(false) => {}
                None => return Supply::Awaited,
            }
        }
        let image = &service.image;
        let overdue = match service.fetch {
            Fetch::Every(period) => self.overdue(image, period),
            _ => false,
        };
        if let Some(id) = self.fetched_image(service)
            && !overdue
            && !needed
        {
            return Supply::There(id);
        }
        if service.keeps_image() && !needed {
            return Supply::There(String::new());
        }
        let Some(seen) = self.context.observed.images.get(image) else {
            self.look(Look::Image(image.clone()));
            return Supply::Awaited;
        };
        let cause = self.cause(service);
        let fetch = match &service.fetch {
            Fetch::Build(_) => Action::Build { service: name.to_owned(), image: image.clone(), cause: cause.clone() },
            _ => Action::Pull { image: image.clone(), cause: cause.clone() },
        };
        let Some(seen) = seen else {
            if service.fetch == Fetch::Never {
                self.problem(Problem {
                    class: Class::Wait,
                    reason: Reason::new(
                        "ImageMissing",
                        format!(
                            "the host does not have {image}, and its pull policy is never: load it there, or change the policy"
                        ),
                    ),
                    again: None,
                });
            } else {
                self.act(fetch);
            }
            return Supply::Awaited;
        };
        if service.keeps_image() || (self.fetched_image(service).is_some() && !overdue) {
            return Supply::There(seen.id.clone());
        }
        let built = match &service.fetch {
            Fetch::Build(hash) => seen.build.as_ref() == Some(hash),
            _ => false,
        };
        let done = match self.context.observed.tasks.get(&fetch.key()) {
            Some(TaskSight::Succeeded { at, .. }) => Some(*at),
            _ if built => Some(self.context.now),
            _ => None,
        };
        if let Some(at) = done {
            let cause = match service.fetch {
                Fetch::Every(_) => String::new(),
                _ => cause,
            };
            self.next.fetched.insert(image.clone(), Fetched { image: seen.id.clone(), at, cause });
            return Supply::Awaited;
        }
        let failed = match self.context.observed.tasks.get(&fetch.key()) {
            Some(TaskSight::Failed { reason, again, .. }) if *again > self.context.now => Some((reason, *again)),
            _ => None,
        };
        match failed {
            // What runs is no worse for it.
            Some((reason, again)) if overdue => {
                self.again(Some(again));
                self.warn(&reason.word, format!("{image} could not be refreshed: {}", reason.message));
                Supply::There(seen.id.clone())
            }
            _ => {
                self.act(fetch);
                Supply::Awaited
            }
        }
    }

    /// Whether an image was not pulled for longer than it may; otherwise it is looked at again in time.
    fn overdue(&mut self, image: &str, period: jiff::SignedDuration) -> bool {
        let Some(last) = self.context.recorded.fetched.get(image) else { return true };
        let Ok(due) = last.at.checked_add(period) else { return false };
        if due <= self.context.now {
            return true;
        }
        self.again(Some(due));
        false
    }
}
