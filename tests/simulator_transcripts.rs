//! The simulator against the exchanges that were recorded from real Proxmox VE daemons.
//!
//! Each topic is replayed in order on a fresh simulated laboratory. Status, reason phrase, error fields and
//! data have to agree; what a normaliser has to map (ids, times, loads) is in `compare.rs`. An exchange that
//! does not agree has to be in `fixtures/pve/left-out.txt` with its reason, and one that is there has to
//! disagree, so that the list stays honest.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "simulator_transcripts/compare.rs"]
mod compare;
#[path = "simulator_transcripts/lab.rs"]
mod lab;
#[path = "simulator_transcripts/setup.rs"]
mod setup;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use lab::Lab;

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pve")
}

/// Release, topic and number of an exchange to the reason why it is left out.
fn left_out() -> BTreeMap<(String, String, usize), String> {
    let text = std::fs::read_to_string(fixtures().join("left-out.txt")).unwrap();
    let mut list = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (place, reason) = line.split_once(": ").expect("a place and a reason");
        let words: Vec<&str> = place.split_whitespace().collect();
        let [releases, topic, numbers] = words.as_slice() else { panic!("{line}") };
        for release in releases.split(',') {
            for number in numbers.split(',') {
                let key = (release.to_owned(), (*topic).to_owned(), number.parse().expect(line));
                assert!(list.insert(key, reason.to_owned()).is_none(), "twice: {line}");
            }
        }
    }
    list
}

#[tokio::test]
async fn the_simulator_answers_as_the_recorded_daemons_did() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut left_out = left_out();
    let (mut agreeing, mut all, mut wrong) = (0, 0, Vec::new());
    for release in ["8.4", "9.2"] {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(fixtures().join(release)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        for file in files {
            let topic: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
            let name = topic["topic"].as_str().unwrap().to_owned();
            let mut lab = Lab::new(release, &topic).await;
            let (mut here, mut agreed) = (0, 0);
            for (number, exchange) in topic["exchanges"].as_array().unwrap().iter().enumerate() {
                if exchange.get("request").is_none() {
                    continue;
                }
                here += 1;
                let result = lab.replay(number, &topic).await;
                let place = (release.to_owned(), name.clone(), number);
                let request = exchange["request"].as_str().unwrap().replace("/api2/json", "");
                match (result, left_out.remove(&place)) {
                    (Ok(()), None) => agreed += 1,
                    (Ok(()), Some(reason)) => {
                        wrong.push(format!("{release} {name} {number}: agrees, but is left out: {reason}"));
                    }
                    (Err(_), Some(reason)) => println!("left out: {release} {name} {number} {request}: {reason}"),
                    (Err(difference), None) => {
                        wrong.push(format!("{release} {name} {number} {request}\n    {difference}"));
                    }
                }
            }
            println!("{release} {name}: {agreed} of {here} exchanges agree");
            agreeing += agreed;
            all += here;
        }
    }
    println!("in all: {agreeing} of {all} exchanges agree");
    for ((release, topic, number), _) in left_out {
        wrong.push(format!("{release} {topic} {number}: left out, but there is no such exchange"));
    }
    assert!(wrong.is_empty(), "{} disagree:\n{}", wrong.len(), wrong.join("\n"));
}
