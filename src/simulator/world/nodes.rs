//! Nodes: memory, reachability, quorum.

use std::time::Duration;

use super::World;
use super::guest::Guest;
use crate::simulator::faults::NodeTrouble;
use crate::simulator::scenario::NodeSpec;

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub name: String,
    pub memory: u64,
    pub base_memory: u64,
    pub cpus: u32,
    /// Whether the host is switched on; faults come on top.
    pub online: bool,
    /// When it was switched off.
    pub off_since: Duration,
}

impl Node {
    pub fn new(spec: &NodeSpec) -> Self {
        Self {
            name: spec.name.clone(),
            memory: spec.memory_mib << 20,
            base_memory: spec.base_memory_mib << 20,
            cpus: spec.cpus,
            online: spec.online,
            off_since: Duration::ZERO,
        }
    }
}

impl World {
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// What keeps clients from reaching a node, if anything.
    pub fn trouble(&self, node: &Node) -> Option<NodeTrouble> {
        if !node.online {
            return Some(NodeTrouble::NoRoute);
        }
        self.faults.node_trouble(&node.name).map(|(trouble, _)| trouble)
    }

    /// Whether the rest of the cluster sees the node: a node whose API daemon alone is down is still a member.
    pub fn is_member(&self, node: &Node) -> bool {
        !matches!(self.trouble(node), Some(NodeTrouble::NoRoute | NodeTrouble::TimedOut))
    }

    pub fn down_since(&self, node: &Node) -> Option<Duration> {
        if !node.online {
            return Some(node.off_since);
        }
        match self.faults.node_trouble(&node.name) {
            Some((NodeTrouble::NoRoute | NodeTrouble::TimedOut, since)) => Some(since),
            _ => None,
        }
    }

    /// Whether the part of the cluster that answers has the majority.
    pub fn has_quorum(&self) -> bool {
        if self.faults.quorum_lost() {
            return false;
        }
        let members = self.nodes.iter().filter(|node| self.is_member(node)).count();
        members * 2 > self.nodes.len()
    }

    /// The node that a request to the cluster's common address reaches: the first that answers.
    pub fn entry_node(&self) -> Option<&Node> {
        self.nodes.iter().find(|node| {
            !matches!(self.trouble(node), Some(NodeTrouble::NoRoute | NodeTrouble::TimedOut | NodeTrouble::Refused))
        })
    }

    /// Memory in use on a node: the host's own and what its guests have touched.
    pub fn memory_used(&self, node: &Node) -> u64 {
        let guests: u64 = self.guests.values().filter(|guest| guest.node == node.name).map(Guest::touched_memory).sum();
        (node.base_memory + guests).min(node.memory)
    }

    /// The error of a write to the cluster's file system without quorum.
    pub fn no_quorum_write(&mut self, node: &str, vmid: u32) -> String {
        let pid = self.new_pid() % 30_000;
        format!("unable to open file '/etc/pve/nodes/{node}/qemu-server/{vmid}.conf.tmp.{pid}' - Permission denied")
    }
}
