//! An upload to the REST shim, and what it takes of the memory of this process, in which the embedded control plane and the client
//! are, too.
//!
//! `cargo bench --bench upload`; `BENCH_UPLOAD_MIB` (2048). Twice as much of the disk is needed for a while.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use cloudfaster::{
    api::{self, DockerHost},
    artifacts::Store,
    rest::{self, Listener},
    standalone::ControlPlane,
    telemetry::Telemetry,
};
use futures::stream;
use http_body_util::StreamBody;
use hyper::body::Frame;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::{Api, Client, api::PostParams};
use mimalloc::MiMalloc;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const KEY: &str = "the benchmark's key";
const MIB: usize = 1 << 20;
/// The size of each file in the archive, in MiB.
const FILE: u64 = 64;

/// As the program has it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(clap::Parser)]
struct Arguments {
    #[command(flatten)]
    settings: rest::Settings,
}

#[tokio::main]
async fn main() {
    rustls::crypto::ring::default_provider().install_default().expect("nobody else names a provider");
    let size = std::env::var("BENCH_UPLOAD_MIB").map_or(2048, |text| text.parse().expect("a number"));
    let stop = CancellationToken::new();
    let (data, artifacts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let plane = ControlPlane::open(data.path(), api::crds(), stop.clone()).await.unwrap();
    let client = Client::new(plane.router(), "default");
    set_up(&client).await;
    let arguments = ["rest", "--rest-upload-limit=16Gi"];
    let settings = <Arguments as clap::Parser>::parse_from(arguments).settings;
    let store = Store::in_folder(artifacts.path().to_owned()).unwrap();
    let settings = rest::Settings { artifacts: Some(store), ..settings };
    let listener = Listener::bind(LISTEN, &settings).await.unwrap();
    let url = listener.url();
    tokio::spawn(rest::run(listener, settings, client, Telemetry::default(), stop.clone()));
    let http = reqwest::Client::new();
    // A small one first: what is taken once is not counted.
    upload(&http, &url, "first", 1).await;

    let (before, highest) = (resident(), Arc::new(AtomicU64::new(0)));
    let noted = highest.clone();
    let watching = tokio::spawn(async move {
        loop {
            noted.fetch_max(resident(), Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let begun = Instant::now();
    upload(&http, &url, "second", size / FILE).await;
    let took = begun.elapsed().as_secs_f64();
    watching.abort();
    let highest = highest.load(Ordering::Relaxed);
    println!("POST /service with {size} MiB: {took:.1} s, {:.0} MiB a second", size as f64 / took);
    println!("  memory of the process: {before} MiB before, {highest} MiB at most");
    stop.cancel();
}

/// What the process has in memory, in MiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// Uploads an archive of so many files, which is made while it is sent.
async fn upload(http: &reqwest::Client, url: &str, name: &str, files: u64) {
    let part =
        |name: &str, value: &str| format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    let texts = part("userid", "7") + &part("service_name", name) + &part("service_types", "Static");
    let head =
        format!("{texts}--B\r\nContent-Disposition: form-data; name=\"zip_file\"; filename=\"site.zip\"\r\n\r\n");
    let pieces = std::iter::once(Bytes::from(head)).chain(archive(files)).chain([Bytes::from("\r\n--B--\r\n")]);
    loop {
        let frames = stream::iter(pieces.clone().map(|piece| Ok::<_, std::convert::Infallible>(Frame::data(piece))));
        let request = http.post(format!("{url}/service")).header("X-API-Key", KEY);
        let request = request.header("content-type", "multipart/form-data; boundary=B");
        let answer = request.body(reqwest::Body::wrap(StreamBody::new(frames))).send().await;
        // Before the caches are filled it is put off, and the rest of the body is not read.
        let Ok(answer) = answer else { continue };
        let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        match status {
            201 => return,
            401 | 503 => tokio::time::sleep(Duration::from_millis(100)).await,
            _ => panic!("{status} {text}"),
        }
    }
}

/// A ZIP archive of files that are not compressed, piece by piece.
fn archive(files: u64) -> impl Iterator<Item = Bytes> + Clone {
    let piece: Bytes = (0..MIB).map(|at| (at * at % 251) as u8).collect::<Vec<u8>>().into();
    let mut crc = flate2::Crc::new();
    (0..FILE).for_each(|_| crc.update(&piece));
    let size = u32::try_from(FILE).unwrap() * u32::try_from(MIB).unwrap();
    // Version, flags, method, time and date, checksum, sizes, length of the name and of what else there is.
    let mut common = vec![20, 0, 0, 8, 0, 0, 0, 0, 0x21, 0x58];
    for number in [crc.sum(), size, size] {
        common.extend(number.to_le_bytes());
    }
    common.extend([6, 0, 0, 0]);
    let name = |number: u64| format!("{number:06}");
    let (mut directory, mut offset) = (Vec::new(), 0_u32);
    for number in 0..files {
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name(number).into_bytes());
        offset += 36 + size;
    }
    let count = u16::try_from(files).unwrap().to_le_bytes();
    let length = u32::try_from(directory.len()).unwrap();
    directory.extend(b"PK\x05\x06\0\0\0\0");
    directory.extend([count, count].concat());
    directory.extend([length.to_le_bytes(), offset.to_le_bytes()].concat());
    directory.extend([0, 0]);
    let each = (0..files).flat_map(move |number| {
        let head = [b"PK\x03\x04".as_slice(), &common, name(number).as_bytes()].concat();
        std::iter::once(Bytes::from(head)).chain(std::iter::repeat_n(piece.clone(), usize::try_from(FILE).unwrap()))
    });
    each.chain([Bytes::from(directory)])
}

async fn set_up(client: &Client) {
    for name in [rest::NAMESPACE, rest::USERS_NAMESPACE] {
        create::<Namespace>(Api::all(client.clone()), json!({"metadata": {"name": name}})).await;
    }
    let metadata = json!({"name": "key", "labels": {"cloudfaster.app/api-key": "true"}});
    let key = json!({"hash": hex::encode(Sha256::digest(KEY)), "owner": "the benchmark", "scopes": "admin"});
    let key = json!({"metadata": metadata, "stringData": key});
    create::<Secret>(Api::namespaced(client.clone(), rest::NAMESPACE), key).await;
    let host = json!({
        "apiVersion": "cloudfaster.app/v1alpha1", "kind": "DockerHost", "metadata": {"name": "docker1"},
        "spec": {"endpoint": "tcp://127.0.0.1:1", "insecurePlaintext": true},
    });
    create::<DockerHost>(Api::all(client.clone()), host).await;
}

async fn create<K: Serialize + DeserializeOwned + Clone + std::fmt::Debug>(api: Api<K>, object: Value) {
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
}
