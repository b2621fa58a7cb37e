//! Events: how they are made and where they go.

use kube::runtime::events::{Event, EventType, Recorder};

use super::{describe, run::Kind};

/// An event of an object.
pub fn event(type_: EventType, reason: &str, action: impl Into<String>, note: impl Into<String>) -> Event {
    Event { type_, reason: reason.to_owned(), action: action.into(), note: Some(note.into()), secondary: None }
}

/// Tells of an event. One that is not recorded fails nothing.
pub async fn publish<K: Kind>(recorder: &Recorder, object: &K, event: &Event) {
    if let Err(error) = recorder.publish(event, &object.object_ref(&())).await {
        tracing::debug!(error = describe(&error), "an event was not recorded");
    }
}
