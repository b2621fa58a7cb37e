//! The id of a task.

use std::{cmp::Ordering, fmt, hash, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The id of a task: `UPID:node:pid:pstart:starttime:type:id:user:`, numbers in hexadecimal
/// (`PVE::Tools::upid_decode`). Two stand-alone hosts of one node name can give out the same one.
#[derive(Clone, Debug)]
pub struct Upid {
    raw: String,
    node: String,
    start: u64,
    kind: String,
    id: String,
    user: String,
}

/// A text that is no task id.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a Proxmox task id: {0:?}")]
pub struct InvalidUpid(String);

impl Upid {
    /// The id as Proxmox wrote it.
    pub fn as_str(&self) -> &str {
        &self.raw
    }

    /// Proxmox's own name of the node that runs the task.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// When the task began, in seconds since 1970.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// What it does: `qmclone`, `qmstart`, `resize`, …
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// What it does it to: mostly a VMID. A clone is filed under its **template's**.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Who asked for it: `op@pve!full` for an API token.
    pub fn user(&self) -> &str {
        &self.user
    }
}

impl FromStr for Upid {
    type Err = InvalidUpid;

    fn from_str(text: &str) -> Result<Self, InvalidUpid> {
        parse(text).ok_or_else(|| InvalidUpid(text.chars().take(120).collect()))
    }
}

fn parse(text: &str) -> Option<Upid> {
    let mut parts = text.split(':');
    let mut next = || parts.next();
    if next()? != "UPID" {
        return None;
    }
    let node = next()?;
    u64::from_str_radix(next()?, 16).ok()?;
    u64::from_str_radix(next()?, 16).ok()?;
    let start = u64::from_str_radix(next()?, 16).ok()?;
    let (kind, id, user) = (next()?, next()?, next()?);
    let complete = next()?.is_empty() && next().is_none();
    if !complete || node.is_empty() || kind.is_empty() || text.contains(char::is_whitespace) {
        return None;
    }
    Some(Upid {
        raw: text.to_owned(),
        node: node.to_owned(),
        start,
        kind: kind.to_owned(),
        id: id.to_owned(),
        user: user.to_owned(),
    })
}

impl fmt::Display for Upid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.raw)
    }
}

impl PartialEq for Upid {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

impl Eq for Upid {}

impl hash::Hash for Upid {
    fn hash<H: hash::Hasher>(&self, state: &mut H) {
        self.raw.hash(state);
    }
}

impl PartialOrd for Upid {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Upid {
    fn cmp(&self, other: &Self) -> Ordering {
        self.raw.cmp(&other.raw)
    }
}

impl<'de> Deserialize<'de> for Upid {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        String::deserialize(input)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Upid {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&self.raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_apart_and_written_as_it_came() {
        let text = "UPID:pve1:00000193:0008C543:6B03CAC0:qmclone:9000:op@pve!full:";
        let upid: Upid = text.parse().unwrap();
        assert_eq!(upid.to_string(), text);
        assert_eq!((upid.node(), upid.kind(), upid.id(), upid.user()), ("pve1", "qmclone", "9000", "op@pve!full"));
        assert_eq!(upid.start(), 0x6B03_CAC0);
    }

    #[test]
    fn what_is_no_task_id_is_refused() {
        for text in [
            "",
            "garbage",
            "UPID:",
            "UPID:pve1:00000193:0008C543:6B03CAC0:qmclone:9000:op@pve!full",
            "UPID:pve1:00000193:0008C543:zz:qmclone:9000:op@pve!full:",
            "UPID::00000193:0008C543:6B03CAC0:qmclone:9000:op@pve!full:",
            "UPID:pve1:00000193:0008C543:6B03CAC0:qmclone:9000:op@pve!full::",
            "UPID:pve1:00000193:0008C543:6B03CAC0:qmclone:90 00:op@pve:",
        ] {
            assert!(text.parse::<Upid>().is_err(), "{text:?}");
        }
    }
}
