use std::{future::Future, net::Ipv4Addr};

use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::timeout,
};

use super::*;
use crate::docker::content::fetch::git::{Credentials, GitUrl, Reference};

/// What takes longer does not happen.
const LIMIT: Duration = Duration::from_secs(30);

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    timeout(LIMIT, what).await.unwrap()
}

fn sources() -> Sources {
    let networks = Networks { allowed: vec!["127.0.0.0/8".parse().unwrap()] };
    Sources::new(Places { cache: None, networks, artifacts: None }, CancellationToken::new())
}

/// A server that takes what comes and says nothing.
struct Tarpit(TcpListener);

impl Tarpit {
    async fn new() -> Self {
        Self(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap())
    }

    /// Somebody who asks it.
    async fn victim(&self) -> TcpStream {
        in_time(self.0.accept()).await.unwrap().0
    }

    /// A repository that is there.
    fn repository(&self, name: &str) -> Asked {
        let url = format!("http://{}/{name}.git", self.0.local_addr().unwrap());
        let request = git::Request {
            url: GitUrl::parse(&url, true).unwrap(),
            reference: Reference::Default,
            submodules: false,
            credentials: Credentials::None,
            ca: None,
            allow_insecure: true,
            content: Limits::default(),
        };
        asked("slow", name, What::Git(Box::new(request), None))
    }
}

fn asked(namespace: &str, fingerprint: &str, what: What) -> Asked {
    let share = Share { namespace: namespace.to_owned(), user: None };
    Asked { share, what, limits: Limits::default(), fingerprint: fingerprint.to_owned(), request: None, interval: None }
}

/// An archive with an empty file.
fn archive(namespace: &str) -> Asked {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    header.set_mode(0o644);
    archive.append_data(&mut header, "file", &b""[..]).unwrap();
    let bytes = archive.into_inner().unwrap().into();
    asked(namespace, "archive", What::Archive { bytes, sha256: None })
}

/// Sees a source, and again when that was fetched which had to be.
async fn seen(sources: &Sources, uid: &str, asked: &Asked) -> Sight {
    let (done, ended) = oneshot::channel();
    let sight = sources.see(uid, asked.clone(), move || done.send(()).unwrap());
    match in_time(ended).await {
        Ok(()) => sources.see(uid, asked.clone(), || {}),
        // There was nothing to do.
        Err(_) => sight,
    }
}

#[tokio::test]
async fn who_asks_slow_servers_keeps_nobody_else_waiting() {
    let (sources, tarpit) = (sources(), Tarpit::new().await);
    for number in 0..100 {
        let sight = sources.see(&format!("slow-{number}"), tarpit.repository(&number.to_string()), || {});
        assert!(matches!(sight, Sight::Fetching));
    }
    let _victims = [tarpit.victim().await, tarpit.victim().await];
    assert!(matches!(seen(&sources, "quick", &archive("shop")).await, Sight::Ready { .. }));
}

#[tokio::test]
async fn what_nobody_wants_any_more_is_fetched_no_longer() {
    let (sources, tarpit) = (sources(), Tarpit::new().await);
    let ends = async |mut victim: TcpStream| {
        let mut sent = Vec::new();
        // It may be cut off, too.
        let _ = in_time(victim.read_to_end(&mut sent)).await;
    };
    sources.see("web", tarpit.repository("gone"), || {});
    let victim = tarpit.victim().await;
    sources.forget("web");
    ends(victim).await;

    sources.see("web", tarpit.repository("former"), || {});
    let victim = tarpit.victim().await;
    assert!(matches!(seen(&sources, "web", &archive("slow")).await, Sight::Ready { .. }));
    ends(victim).await;
}

#[tokio::test]
async fn a_request_is_answered_when_the_source_was_fetched_for_it() {
    let sources = sources();
    let answered = |sight: Sight| match sight {
        Sight::Ready { request, .. } => request,
        other => panic!("{other:?}"),
    };
    let with = |request: &str| Asked { request: Some(request.to_owned()), ..archive("shop") };
    let (first, second) = (with("1"), with("2"));
    assert_eq!(answered(seen(&sources, "web", &first).await).as_deref(), Some("1"));
    let (done, ended) = oneshot::channel();
    let meanwhile = sources.see("web", second.clone(), move || done.send(()).unwrap());
    assert_eq!(answered(meanwhile).as_deref(), Some("1"));
    in_time(ended).await.unwrap();
    assert_eq!(answered(seen(&sources, "web", &second).await).as_deref(), Some("2"));
    // Nobody asks with another one: nothing is fetched.
    assert_eq!(answered(seen(&sources, "web", &second).await).as_deref(), Some("2"));
}
