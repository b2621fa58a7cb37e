//! The control endpoint, for whoever drives the simulator from outside: faults, state, requests, clock.
//!
//! `POST /simulator/faults` takes a [`Fault`] in JSON and gives `{"id": n}`; `GET` lists them, `DELETE
//! /simulator/faults[/n]` ends one or all. `GET /simulator/state` and `/simulator/requests` show what is there
//! and what was asked, `POST /simulator/clock` with `{"advanceMilliseconds": n}` moves a virtual clock.
//! It is not guarded, so it exists only when it is asked for.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::simulator::{Fault, Simulator};

pub(super) fn respond(simulator: &Simulator, method: &Method, path: &str, body: &[u8]) -> Response<Full<Bytes>> {
    let words: Vec<&str> = path.split('/').filter(|word| !word.is_empty()).skip(1).collect();
    let (status, value) = match (method, words.as_slice()) {
        (&Method::GET, ["faults"]) => (StatusCode::OK, faults(simulator)),
        (&Method::POST, ["faults"]) => add(simulator, body),
        (&Method::DELETE, ["faults"]) => {
            simulator.clear_faults();
            (StatusCode::OK, Value::Null)
        }
        (&Method::DELETE, ["faults", id]) => match id.parse() {
            Ok(id) if simulator.clear_fault(id) => (StatusCode::OK, Value::Null),
            _ => (StatusCode::NOT_FOUND, json!({"error": format!("there is no fault {id}")})),
        },
        (&Method::GET, ["state"]) => (StatusCode::OK, state(simulator)),
        (&Method::GET, ["requests"]) => {
            (StatusCode::OK, json!({"counts": simulator.request_counts(), "requests": simulator.requests()}))
        }
        (&Method::DELETE, ["requests"]) => {
            simulator.forget_requests();
            (StatusCode::OK, Value::Null)
        }
        (&Method::POST, ["clock"]) => clock(simulator, body),
        _ => (StatusCode::NOT_FOUND, json!({"error": format!("there is no {method} {path}")})),
    };
    let mut response = Response::new(Full::new(Bytes::from(value.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn faults(simulator: &Simulator) -> Value {
    let faults = simulator.faults().into_iter();
    faults.map(|(id, fault, hits)| json!({"id": id, "fault": fault, "hits": hits})).collect()
}

fn add(simulator: &Simulator, body: &[u8]) -> (StatusCode, Value) {
    let added = serde_json::from_slice::<Fault>(body)
        .map_err(|error| error.to_string())
        .and_then(|fault| simulator.fault(fault).map_err(|error| error.to_string()));
    match added {
        Ok(id) => (StatusCode::CREATED, json!({"id": id})),
        Err(error) => (StatusCode::BAD_REQUEST, json!({"error": error})),
    }
}

fn state(simulator: &Simulator) -> Value {
    json!({
        "nowMilliseconds": u64::try_from(simulator.now().as_millis()).unwrap_or(u64::MAX),
        "nodes": simulator.nodes(),
        "vms": simulator.vms(),
        "volumes": simulator.volumes(),
        "runningTasks": simulator.running_tasks(),
    })
}

fn clock(simulator: &Simulator, body: &[u8]) -> (StatusCode, Value) {
    let wanted = serde_json::from_slice::<Value>(body).ok();
    let Some(time) = wanted.as_ref().and_then(|value| value.get("advanceMilliseconds")).and_then(Value::as_u64) else {
        return (StatusCode::BAD_REQUEST, json!({"error": "give {\"advanceMilliseconds\": n}"}));
    };
    simulator.advance(Duration::from_millis(time));
    (StatusCode::OK, json!({"nowMilliseconds": u64::try_from(simulator.now().as_millis()).unwrap_or(u64::MAX)}))
}
