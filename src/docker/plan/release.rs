//! Releases as a whole: the last one that came up is remembered, and comes back if the next one does not.

use super::{
    super::{
        desired::State,
        recorded::{Good, Lost, Recorded},
    },
    Look, Step,
    round::Round,
};
use crate::reason::Reason;

impl Round<'_> {
    /// What is known of the release that comes back, if this is one.
    fn returning(&self) -> Option<(&Good, &Lost)> {
        let Recorded { good, lost_release, .. } = self.context.recorded;
        let (good, lost) = (good.as_ref()?, lost_release.as_ref()?);
        (self.deployment.returning && good.release == self.deployment.release).then_some((good, lost))
    }

    /// Forgets a release that failed when something else is asked for, and remembers what a good one had done.
    pub fn note_releases(&mut self) {
        let release = &self.deployment.release;
        let done = self.returning().map(|(good, _)| good.completed.clone());
        let returning = done.is_some();
        self.next.completed.extend(done.into_iter().flatten().map(|slot| (slot, release.clone())));
        let again = self
            .next
            .lost_release
            .as_ref()
            .is_some_and(|lost| lost.release == *release && lost.restart == self.deployment.restart);
        if !returning && !again {
            self.next.lost_release = None;
        }
    }

    /// The image that a release which comes back ran from.
    pub fn former_image(&self, name: &str) -> Option<String> {
        let (good, _) = self.returning()?;
        good.images.get(name).cloned()
    }

    /// Whether the image that a release which comes back ran from is there; nothing if it must be looked at first.
    pub fn has_image(&mut self, id: &str) -> Option<bool> {
        match self.context.observed.images.get(id) {
            Some(found) => Some(found.is_some()),
            None => {
                self.look(Look::Image(id.to_owned()));
                None
            }
        }
    }

    /// The release does not come up: if there is one that did, that one comes back.
    pub fn lose(&mut self, reason: &Reason) {
        let release = &self.deployment.release;
        let better = self.next.good.as_ref().is_some_and(|good| good.release != *release);
        if better && self.deployment.rollback && self.next.lost_release.is_none() {
            let restart = self.deployment.restart.clone();
            self.next.lost_release = Some(Lost { release: release.clone(), restart, reason: reason.clone() });
        }
    }

    /// At rest: this release is remembered as the one that came up, or it is said why it is not the one that was asked for.
    pub fn settle(&mut self) -> Option<Step> {
        let release = self.deployment.release.clone();
        if self.deployment.state == State::Stopped {
            return None;
        }
        if let Some((_, lost)) = self.returning() {
            let Reason { word, message } = &lost.reason;
            return Some(Step::Stall(Reason::new(
                word,
                format!(
                    "the new release did not come up, and the last good one was brought back. It is tried again when it \
                     changes, or when a restart is asked for. {message}"
                ),
            )));
        }
        let completed = self.next.completed.iter().filter(|(_, done_for)| **done_for == release);
        let images = self
            .places
            .values()
            .filter_map(|place| Some((place.slot.service.clone(), place.serving()?.image.to_owned())));
        let contents = self.deployment.volumes.values().filter(|volume| volume.content);
        let same = self.next.good.as_ref().filter(|good| good.release == release);
        let model = same.map(|good| good.model.clone()).unwrap_or_default();
        let good = Good {
            model,
            completed: completed.map(|(slot, _)| slot.clone()).collect(),
            images: images.collect(),
            contents: contents.map(|volume| volume.name.clone()).collect(),
            release,
        };
        if self.next.good.as_ref() == Some(&good) && self.next.lost_release.is_none() {
            return None;
        }
        self.next.lost_release = None;
        self.next.good = Some(good);
        Some(Step::Record(Box::new(self.next.clone())))
    }

    /// Whether the last good release needs the content of a volume, should it come back.
    pub fn may_need(&self, volume: &str) -> bool {
        self.next.good.as_ref().is_some_and(|good| good.contents.contains(volume))
    }
}
