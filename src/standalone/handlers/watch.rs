//! Watches: what changes, as it changes.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderValue, header};
use rand::RngExt as _;
use serde_json::{Value, json};
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;

use super::view::{Form, View};
use super::{Query, Target};
use crate::standalone::json::set;
use crate::standalone::plane::Plane;
use crate::standalone::selectors::Selector;
use crate::standalone::status::ApiError;
use crate::standalone::store::{Change, Record, ShelfId};

/// How often an idle watch hears which resource version it has reached.
const BOOKMARKS: Duration = Duration::from_secs(60);

/// How long a watch lasts if the client does not say: between this and twice this, in seconds, so
/// that clients do not all come back at once.
const LASTS: u64 = 1800;

pub fn watch(plane: &Arc<Plane>, target: &Target, query: &Query, headers: &HeaderMap) -> Result<Response, ApiError> {
    let kind = &target.kind;
    let view = View::wanted(kind, headers, query)?;
    let selector = Selector::parse(kind, query.text("labelSelector"), query.text("fieldSelector"))?;
    let lasts = match query.number("timeoutSeconds")? {
        None => LASTS + rand::rng().random_range(0..LASTS),
        Some(seconds) => seconds.min(24 * 3600),
    };
    let bookmarks = query.flag("allowWatchBookmarks");
    query.check_list(true)?;
    query.number("limit")?;
    let send_initial = query.flag("sendInitialEvents");
    let asked = query.revision()?;
    let current = plane.store.revision();
    if asked > current {
        return Err(ApiError::revision_too_large(asked, current));
    }
    let newest = plane.store.follow(&kind.shelf).ok_or_else(ApiError::no_resource)?;
    let mut watcher = Watcher {
        plane: Arc::clone(plane),
        shelf: Arc::clone(&kind.shelf),
        namespace: target.namespace.clone(),
        selector,
        view,
        cursor: asked,
        newest,
        bookmarks: bookmarks.then(|| {
            let mut interval = interval_at(Instant::now() + BOOKMARKS, BOOKMARKS);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        }),
        ends: Instant::now() + Duration::from_secs(lasts),
        shutdown: plane.shutdown.clone(),
        columns_sent: false,
        pending: Vec::new(),
        over: false,
    };
    // Without a resource version a watch begins with what is there.
    if asked == 0 || send_initial {
        watcher.begin(send_initial && bookmarks);
    }
    let body = Body::from_stream(stream::unfold(watcher, |mut watcher| async move {
        let bytes = watcher.next().await?;
        Some((Ok::<_, std::convert::Infallible>(bytes), watcher))
    }));
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

struct Watcher {
    plane: Arc<Plane>,
    shelf: ShelfId,
    namespace: Option<String>,
    selector: Selector,
    view: View,
    /// Everything up to this revision has been sent.
    cursor: u64,
    newest: Receiver<u64>,
    bookmarks: Option<Interval>,
    ends: Instant,
    shutdown: CancellationToken,
    columns_sent: bool,
    pending: Vec<u8>,
    over: bool,
}

impl Watcher {
    /// What there is, as if it had just been created.
    fn begin(&mut self, announce_end: bool) {
        let snapshot = self.plane.store.list(&self.shelf, self.namespace.as_deref());
        for (_, record) in &snapshot.objects {
            if self.selector.matches(&record.value) {
                self.send("ADDED", record);
            }
        }
        self.cursor = snapshot.revision;
        if announce_end {
            self.bookmark(true);
        }
    }

    /// The next bytes for the client, at least one event; `None` when the watch is over.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if !self.over {
                self.newest.borrow_and_update();
                self.collect();
            }
            if !self.pending.is_empty() {
                return Some(std::mem::take(&mut self.pending).into());
            }
            if self.over {
                return None;
            }
            let tick = async {
                match &mut self.bookmarks {
                    Some(interval) => interval.tick().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => self.over = true,
                changed = self.newest.changed() => self.over = changed.is_err(),
                () = sleep_until(self.ends) => {
                    // The client can go on from here.
                    if self.bookmarks.is_some() {
                        self.bookmark(false);
                    }
                    self.over = true;
                }
                _ = tick => self.bookmark(false),
            }
        }
    }

    fn collect(&mut self) {
        match self.plane.store.changes_after(&self.shelf, self.cursor) {
            Ok((changes, reached)) => {
                for change in changes {
                    self.send_change(&change);
                }
                self.cursor = reached;
            }
            Err(too_old) => {
                let status = ApiError::expired(too_old.to_string()).to_status();
                self.write("ERROR", status.to_string().as_bytes());
                self.over = true;
            }
        }
    }

    /// What a change means for those who see only what the selector matches.
    fn send_change(&mut self, change: &Change) {
        if self.namespace.as_ref().is_some_and(|namespace| *namespace != change.name.namespace) {
            return;
        }
        let seen_before = change.before.as_ref().is_some_and(|before| self.selector.matches(&before.value));
        let seen_now = !change.removed && self.selector.matches(&change.now.value);
        match (seen_before, seen_now) {
            (false, true) => self.send("ADDED", &change.now),
            (true, true) => self.send("MODIFIED", &change.now),
            (true, false) => self.send("DELETED", &change.now),
            (false, false) => {}
        }
    }

    fn send(&mut self, event: &str, record: &Record) {
        if self.view.form == Form::Object || self.view.form == Form::Partial {
            let json = self.view.object(record);
            self.write(event, &json);
            return;
        }
        let mut table = self.view.render(&record.value);
        if self.columns_sent
            && let Some(table) = table.as_object_mut()
        {
            table.insert("columnDefinitions".to_owned(), Value::Null);
        }
        self.columns_sent = true;
        self.write(event, table.to_string().as_bytes());
    }

    fn bookmark(&mut self, initial_end: bool) {
        let revision = self.cursor.to_string();
        let mut metadata = json!({ "resourceVersion": revision, "creationTimestamp": null });
        if initial_end {
            set(&mut metadata, "annotations", json!({ "k8s.io/initial-events-end": "true" }));
        }
        let kind = &self.view.kind;
        let object = match self.view.form {
            Form::Object => json!({
                "kind": kind.kind,
                "apiVersion": kind.api_version(),
                "metadata": metadata,
            }),
            Form::Partial => json!({
                "kind": "PartialObjectMetadata",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": metadata,
            }),
            Form::Table(_) => json!({
                "kind": "Table",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": { "resourceVersion": revision },
                "columnDefinitions": null,
                "rows": [{
                    "cells": [],
                    "object": {
                        "kind": "PartialObjectMetadata",
                        "apiVersion": "meta.k8s.io/v1",
                        "metadata": metadata,
                    },
                }],
            }),
        };
        self.write("BOOKMARK", object.to_string().as_bytes());
    }

    fn write(&mut self, event: &str, object: &[u8]) {
        self.pending.extend_from_slice(b"{\"type\":\"");
        self.pending.extend_from_slice(event.as_bytes());
        self.pending.extend_from_slice(b"\",\"object\":");
        self.pending.extend_from_slice(object);
        self.pending.extend_from_slice(b"}\n");
    }
}
