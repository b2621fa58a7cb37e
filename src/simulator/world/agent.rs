//! The QEMU guest agent.

use serde_json::{Value, json};

use super::World;
use super::guest::Guest;

/// What a call to the agent meets.
#[derive(Debug)]
pub(crate) enum AgentState {
    NotRunning,
    NotConfigured,
    /// Configured, but the guest has not booted: the call fails after a while.
    Silent,
    Answers,
}

impl World {
    pub fn agent_state(&self, guest: &Guest) -> AgentState {
        let Some(running) = &guest.running else {
            return AgentState::NotRunning;
        };
        if !guest.config.agent() {
            return AgentState::NotConfigured;
        }
        if running.paused || self.now < running.booted_at || self.faults.agent_silent(&guest.node, guest.vmid) {
            return AgentState::Silent;
        }
        AgentState::Answers
    }

    /// `network-get-interfaces`: a static address of `ipconfigN`, or one that a DHCP server would give.
    pub fn interfaces(&self, guest: &Guest) -> Value {
        let statistics = || {
            json!({"rx-bytes": 0, "rx-packets": 0, "rx-errs": 0, "rx-dropped": 0,
                   "tx-bytes": 0, "tx-packets": 0, "tx-errs": 0, "tx-dropped": 0})
        };
        let mut interfaces = vec![json!({
            "name": "lo",
            "hardware-address": "00:00:00:00:00:00",
            "ip-addresses": [
                {"ip-address": "127.0.0.1", "ip-address-type": "ipv4", "prefix": 8},
                {"ip-address": "::1", "ip-address-type": "ipv6", "prefix": 128},
            ],
            "statistics": statistics(),
        })];
        for (index, mac, _) in guest.config.nics() {
            let given = guest.cloud_init.get(&format!("ipconfig{index}")).and_then(|text| {
                let address = text.split(',').find_map(|part| part.strip_prefix("ip="))?;
                let (address, prefix) = address.split_once('/')?;
                Some((address.to_owned(), prefix.parse::<u8>().ok()?))
            });
            let (address, prefix) = given.unwrap_or_else(|| {
                let [high, low] = (guest.vmid as u16).to_be_bytes();
                (format!("10.{index}.{high}.{low}"), 16)
            });
            interfaces.push(json!({
                "name": format!("eth{index}"),
                "hardware-address": mac.to_lowercase(),
                "ip-addresses": [
                    {"ip-address": address, "ip-address-type": "ipv4", "prefix": prefix},
                    {"ip-address": format!("fe80::{:x}:{index}", guest.vmid), "ip-address-type": "ipv6", "prefix": 64},
                ],
                "statistics": statistics(),
            }));
        }
        json!({ "result": interfaces })
    }
}
