//! What is said with a server: which references it has, and what to send.

use std::fs::File;

use gix_hash::ObjectId;
use gix_object::bstr::{BString, ByteSlice};
use gix_protocol::{
    Command, Handshake, LsRefsCommand,
    fetch::{Arguments, Response, response::Acknowledgement},
    handshake::Ref,
    ls_refs::RefPrefixes,
};
use gix_transport::{
    Protocol, Service,
    client::blocking_io::{Transport, TransportV2Ext},
};
use gix_utils::progress::Discard;

use super::{
    super::{Error, Result},
    line::Line,
    receive::{Failure, receive},
    ssh::Complaint,
    url::GitUrl,
};

/// How many bytes of references are read.
const REFERENCES: u64 = 64 << 20;

/// How we name ourselves.
const AGENT: &str = concat!("git/cloudfaster-", env!("CARGO_PKG_VERSION"));

/// A reference that a server has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Advertised {
    /// As in `refs/heads/main`.
    pub name: String,
    /// What it points to; of a tag with a message, the tag.
    pub object: ObjectId,
    /// What it points to in the end.
    pub commit: ObjectId,
    /// The reference that this one is another name of.
    pub target: Option<String>,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub want: Vec<ObjectId>,
    /// A commit that we have.
    pub have: Option<ObjectId>,
    /// How much of what leads to it.
    pub history: History,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum History {
    /// The commits themselves, with all their files; of what we have, we have no more either.
    None,
    /// All of it.
    All,
    /// The commits since the one that we have, with all that leads to it, and, where the server can, without files.
    Since,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// A pack was written.
    Pack,
    /// The server has no such object, or does not give it by its name.
    Missing,
    /// The server does not have what we have.
    Unrelated,
}

/// A connection to a repository.
pub(super) struct Remote {
    transport: Box<dyn Transport>,
    handshake: Handshake,
    line: Line,
    url: String,
    complaint: Option<Complaint>,
}

impl Remote {
    /// Greets the server.
    pub(super) fn greet(
        mut transport: Box<dyn Transport>,
        url: &GitUrl,
        line: Line,
        complaint: Option<Complaint>,
    ) -> Result<Self> {
        line.allow(REFERENCES);
        let greeted =
            gix_protocol::handshake(&mut transport, Service::UploadPack, |_| Ok(None), Vec::new(), &mut Discard);
        let url = url.to_string();
        let handshake = greeted.map_err(|error| blame(&line, complaint.as_ref(), &url, &error))?;
        let format = handshake.capabilities.capability("object-format");
        if format.and_then(|format| format.value().map(|value| value != "sha1")).unwrap_or_default() {
            let reason = "the repository names its objects by something else than SHA-1, which is not supported";
            return Err(line.protocol(reason));
        }
        Ok(Self { transport, handshake, line, url, complaint })
    }

    /// The references that begin with one of these; a server of an older version gives all that it has.
    pub(super) fn list(&mut self, prefixes: &[String]) -> Result<Vec<Advertised>> {
        let listed = match self.handshake.refs.clone() {
            Some(listed) => listed,
            None => {
                let mut wanted = RefPrefixes::new();
                wanted.extend(prefixes.iter().map(|prefix| BString::from(prefix.as_str())));
                let agent = ("agent", Some(AGENT.to_owned()));
                let command = LsRefsCommand::new(Some(wanted), &self.handshake.capabilities, agent);
                let listed = command.invoke_blocking(&mut self.transport, &mut Discard, false);
                listed.map_err(|error| blame(&self.line, self.complaint.as_ref(), &self.url, &error))?
            }
        };
        Ok(listed.into_iter().filter_map(advertised).collect())
    }

    /// Whether the server only gives what its references point to.
    pub(super) fn hides_objects(&self) -> bool {
        match self.handshake.server_protocol_version {
            // Git itself gives whatever it has; others may not.
            Protocol::V2 => {
                let agent = self.handshake.capabilities.capability("agent");
                !agent.and_then(|agent| agent.value().map(|agent| agent.starts_with(b"git/"))).unwrap_or_default()
            }
            Protocol::V0 | Protocol::V1 => true,
        }
    }

    /// Whether it may be asked for more, once something was fetched.
    pub(super) fn is_reusable(&self) -> bool {
        self.handshake.server_protocol_version == Protocol::V2
    }

    /// Receives a pack of at most so many bytes.
    pub(super) fn fetch(&mut self, ask: &Ask, most: u64, into: &mut File) -> Result<Received> {
        self.line.allow(most);
        let outcome = match self.handshake.server_protocol_version {
            Protocol::V2 => self.fetch_v2(ask, into),
            version @ (Protocol::V0 | Protocol::V1) => self.fetch_v1(version, ask, into),
        };
        match outcome {
            Ok(received) => Ok(received),
            // There is no other sign of it.
            Err(Failure(text)) if text.contains("not our ref") || text.contains("unadvertised object") => {
                Ok(Received::Missing)
            }
            Err(Failure(text)) => {
                let failure = std::io::Error::other(text);
                Err(blame(&self.line, self.complaint.as_ref(), &self.url, &failure))
            }
        }
    }

    fn fetch_v2(&mut self, ask: &Ask, into: &mut File) -> std::result::Result<Received, Failure> {
        let can: Vec<String> = {
            let capability = self.handshake.capabilities.capability("fetch");
            let values = capability.and_then(|capability| {
                capability.values().map(|values| values.map(|value| value.to_str_lossy().into_owned()).collect())
            });
            values.unwrap_or_default()
        };
        let can = |what: &str| can.iter().any(|can| can == what);
        let Ask { want, have, history } = ask;
        let mut arguments: Vec<BString> = vec!["no-progress".into(), "ofs-delta".into()];
        arguments.extend(want.iter().map(|id| format!("want {id}").into()));
        match history {
            History::None if can("shallow") => {
                // Without it, servers send all files of a commit whose history is not asked for.
                arguments.push("thin-pack".into());
                arguments.extend(have.iter().map(|id| format!("shallow {id}").into()));
                arguments.push("deepen 1".into());
            }
            History::Since if can("filter") => arguments.push("filter tree:0".into()),
            History::None | History::All | History::Since => {}
        }
        arguments.extend(have.iter().map(|id| format!("have {id}").into()));
        // Before all of a history is sent, it is asked whether there is something in common.
        let mut done = *history != History::Since;
        loop {
            let mut features = vec![("agent", Some(AGENT.to_owned()))];
            if self.handshake.capabilities.contains("object-format") {
                features.push(("object-format", Some("sha1".to_owned())));
            }
            let sent = arguments.iter().cloned().chain(done.then(|| "done".into()));
            let mut reader = self.transport.invoke(Command::Fetch.as_str(), features.into_iter(), Some(sent), false)?;
            let response = Response::from_line_reader(Protocol::V2, &mut reader, done, !done)?;
            if response.has_pack() {
                receive(reader, into)?;
                return Ok(Received::Pack);
            }
            let common = response.acknowledgements().iter().any(|ack| matches!(ack, Acknowledgement::Common(_)));
            if done || !common {
                return Ok(if done { Received::Missing } else { Received::Unrelated });
            }
            done = true;
        }
    }

    fn fetch_v1(&mut self, version: Protocol, ask: &Ask, into: &mut File) -> std::result::Result<Received, Failure> {
        let Ask { want, have, history } = ask;
        let mut features = Command::Fetch.default_features(version, &self.handshake.capabilities);
        Response::check_required_features(version, &features)?;
        features.retain(|(name, _)| *name != "thin-pack" || *history == History::None);
        features.retain(|(name, _)| *name != "filter" || *history == History::Since);
        features.push(("agent", Some(AGENT.to_owned())));
        let mut arguments = Arguments::new(version, features, false);
        want.iter().for_each(|id| arguments.want(id));
        if *history == History::None && arguments.can_use_shallow() {
            have.iter().for_each(|id| arguments.shallow(id));
            arguments.deepen(1);
        }
        if *history == History::Since && arguments.can_use_filter() {
            arguments.filter("tree:0");
        }
        have.iter().for_each(|id| arguments.have(id));
        let mut reader = arguments.send(&mut self.transport, true)?;
        let response = Response::from_line_reader(version, &mut reader, true, have.is_some())?;
        let common = response.acknowledgements().iter().any(|ack| matches!(ack, Acknowledgement::Common(_)));
        if *history == History::Since && !common {
            return Ok(Received::Unrelated);
        }
        if !response.has_pack() {
            return Ok(Received::Missing);
        }
        receive(reader, into)?;
        Ok(Received::Pack)
    }
}

/// What an error of the library means: what we remember of it, or what the server complained of.
fn blame(line: &Line, complaint: Option<&Complaint>, url: &str, error: &(dyn std::error::Error + 'static)) -> Error {
    match line.blame(error) {
        protocol @ Error::Protocol { .. } => {
            complaint.and_then(|complaint| complaint.error(url, line.host())).unwrap_or(protocol)
        }
        // What was asked for is in the repository; where that is, is what matters.
        Error::NotFound { url: _, hint } => Error::NotFound { url: url.to_owned(), hint },
        known => known,
    }
}

fn advertised(reference: Ref) -> Option<Advertised> {
    let text = |name: BString| String::from_utf8(name.into()).ok();
    Some(match reference {
        Ref::Peeled { full_ref_name, tag, object } => {
            Advertised { name: text(full_ref_name)?, object: tag, commit: object, target: None }
        }
        Ref::Direct { full_ref_name, object } => {
            Advertised { name: text(full_ref_name)?, object, commit: object, target: None }
        }
        Ref::Symbolic { full_ref_name, target, tag, object } => Advertised {
            name: text(full_ref_name)?,
            object: tag.unwrap_or(object),
            commit: object,
            target: Some(text(target)?),
        },
        Ref::Unborn { .. } => return None,
    })
}
