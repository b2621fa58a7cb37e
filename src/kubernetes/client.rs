//! The client as the process uses it: each request is counted and limited in time, and none leaves this process when it
//! may not work.

use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use kube::{Client, client::Body};
use tokio::time::{Instant, timeout};
use tower::service_fn;

use super::describe;
use crate::telemetry::{Check, Telemetry};

/// How long the API server may take to begin its answer, a watch aside. It gives up by itself after 60 s, and the client
/// repeats what was turned away with 429, 503 or 504.
const LIMIT: Duration = Duration::from_secs(30);

/// Requests that get no answer here.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("Kubernetes did not answer within {} s", LIMIT.as_secs())]
    Timeout,
    #[error("this process does not lead (any more)")]
    NotLeading,
}

/// A client that is counted and limited in time, and works while this process `leads`.
pub fn observed(
    client: Client,
    telemetry: &Telemetry,
    leads: impl Fn() -> bool + Clone + Send + Sync + 'static,
) -> Client {
    let namespace = client.default_namespace().to_owned();
    let answers = telemetry.health.check("kubernetes");
    let telemetry = telemetry.clone();
    let service = service_fn(move |request: Request<Body>| {
        let (client, leads) = (client.clone(), leads.clone());
        let (telemetry, answers) = (telemetry.clone(), answers.clone());
        async move {
            if !leads() {
                return Err(kube::Error::Service(Box::new(Refused::NotLeading)));
            }
            let call = Call::of(&request);
            let begun = Instant::now();
            let answer = timeout(LIMIT, client.send(request)).await;
            let answer = answer.unwrap_or_else(|_| Err(kube::Error::Service(Box::new(Refused::Timeout))));
            telemetry.metrics.kubernetes(call.verb, &call.resource, outcome(&answer), begun.elapsed());
            say(&answers, &call, &answer);
            if call.fills_a_cache() {
                say(&telemetry.health.check(format!("watch-{}", call.resource)), &call, &answer);
            }
            answer
        }
    });
    Client::new(service, namespace)
}

/// Whether Kubernetes answers, and, of what fills a cache, whether it answers what was asked.
fn say(check: &Check, call: &Call, answer: &Result<Response<Body>, kube::Error>) {
    match answer {
        Err(error) => check.fail(describe(error)),
        Ok(response) => {
            let status = response.status();
            if status.is_server_error() || call.fills_a_cache() && !status.is_success() {
                check.fail(format_args!("Kubernetes answers {status} to {} {}", call.verb, call.resource));
            } else {
                check.pass();
            }
        }
    }
}

fn outcome(answer: &Result<Response<Body>, kube::Error>) -> &'static str {
    let Ok(response) = answer else { return "unreachable" };
    match response.status() {
        status if status.is_success() => "ok",
        StatusCode::UNAUTHORIZED => "unauthorized",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::CONFLICT => "conflict",
        StatusCode::GONE => "gone",
        StatusCode::UNPROCESSABLE_ENTITY => "invalid",
        StatusCode::TOO_MANY_REQUESTS => "throttled",
        status if status.is_server_error() => "server_error",
        _ => "refused",
    }
}

/// What is asked for, without names.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    /// As RBAC calls it.
    verb: &'static str,
    /// The plural, with the subresource.
    resource: String,
}

impl Call {
    fn fills_a_cache(&self) -> bool {
        // The Lease is not cached, and can do without its watch.
        matches!(self.verb, "list" | "watch") && self.resource != "leases"
    }

    fn of<B>(request: &Request<B>) -> Self {
        let uri = request.uri();
        let watches = uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"));
        let mut parts = uri.path().split('/').filter(|part| !part.is_empty());
        // /api/v1/… or /apis/GROUP/VERSION/…
        let skipped = if parts.next() == Some("apis") { 2 } else { 1 };
        let mut parts: Vec<&str> = parts.skip(skipped).collect();
        if let ["namespaces", _, _, ..] = parts[..] {
            parts.drain(..2);
        }
        let resource = match parts[..] {
            [plural, _, subresource] => format!("{plural}/{subresource}"),
            [plural, ..] => plural.to_owned(),
            [] => "none".to_owned(),
        };
        let verb = match *request.method() {
            Method::GET if watches => "watch",
            Method::GET if parts.len() > 1 => "get",
            Method::GET => "list",
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE => "delete",
            _ => "other",
        };
        Self { verb, resource }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_without_the_names_in_it() {
        const GROUP: &str = "/apis/cloudfaster.app/v1alpha1";
        for (method, uri, verb, resource) in [
            ("GET", format!("{GROUP}/proxmoxvms?limit=500"), "list", "proxmoxvms"),
            ("GET", format!("{GROUP}/proxmoxvms?watch=true&resourceVersion=1"), "watch", "proxmoxvms"),
            ("PUT", format!("{GROUP}/namespaces/shop/proxmoxvms/web/status"), "update", "proxmoxvms/status"),
            ("PATCH", format!("{GROUP}/namespaces/shop/proxmoxvms/web"), "patch", "proxmoxvms"),
            ("PUT", format!("{GROUP}/proxmoxclusters/main/status"), "update", "proxmoxclusters/status"),
            ("GET", "/api/v1/namespaces/shop".to_owned(), "get", "namespaces"),
            ("GET", "/api/v1/namespaces/shop/secrets/password".to_owned(), "get", "secrets"),
            ("POST", "/apis/events.k8s.io/v1/namespaces/shop/events".to_owned(), "create", "events"),
            ("GET", "/version".to_owned(), "list", "none"),
        ] {
            let request = Request::builder().method(method).uri(&uri).body(()).unwrap();
            assert_eq!(Call::of(&request), Call { verb, resource: resource.to_owned() }, "{method} {uri}");
        }
    }
}
