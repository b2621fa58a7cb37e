//! Names of objects: those of the machines as far as Kubernetes takes them, and no two the same.

use std::collections::{BTreeMap, BTreeSet};

use super::manifest::Found;
use crate::proxmox::wire::Vmid;

/// The longest name.
const LONGEST: usize = 63;

/// The names of the objects, by the node and the VMID of their machines.
pub struct Names(BTreeMap<(String, Vmid), String>);

impl Names {
    /// Names for all, other than those that are taken.
    pub fn new(machines: &[Found], taken: &BTreeSet<String>) -> Self {
        let mut wanted: BTreeMap<String, usize> = BTreeMap::new();
        for machine in machines {
            let count = wanted.entry(sanitised(&machine.name)).or_default();
            *count = count.saturating_add(1);
        }
        let mut taken = taken.clone();
        let mut names = BTreeMap::new();
        // Those that nobody else wants go first.
        let alone = |machine: &&Found| wanted.get(&sanitised(&machine.name)) == Some(&1);
        let (first, last): (Vec<_>, Vec<_>) = machines.iter().partition(alone);
        for machine in first.into_iter().chain(last) {
            let Found { node, vmid, name, .. } = machine;
            let base = sanitised(name);
            let shared = wanted.get(&base).is_some_and(|count| *count > 1);
            let numbered = [String::new(), format!("-{vmid}"), format!("-{vmid}-{}", sanitised(node))];
            let numbered = numbered.into_iter().skip(usize::from(shared));
            let counted = (2_u32..).map(|count| format!("-{vmid}-{count}"));
            let mut candidates = numbered.chain(counted).map(|suffix| with_suffix(&base, &suffix));
            if let Some(free) = candidates.find(|candidate| !taken.contains(candidate)) {
                taken.insert(free.clone());
                names.insert((node.clone(), *vmid), free);
            }
        }
        Self(names)
    }

    /// The name of a machine's object.
    pub fn of(&self, machine: &Found) -> &str {
        self.0.get(&(machine.node.clone(), machine.vmid)).map_or("vm", String::as_str)
    }
}

/// What Kubernetes takes for a name.
fn sanitised(name: &str) -> String {
    let mut clean = String::new();
    for character in name.to_lowercase().chars() {
        let fits = character.is_ascii_lowercase() || character.is_ascii_digit();
        if fits || !clean.ends_with('-') {
            clean.push(if fits { character } else { '-' });
        }
    }
    let clean: String = clean.trim_matches('-').chars().take(LONGEST).collect();
    let clean = clean.trim_matches('-');
    if clean.is_empty() { "vm".to_owned() } else { clean.to_owned() }
}

fn with_suffix(base: &str, suffix: &str) -> String {
    let room = LONGEST.saturating_sub(suffix.len());
    let base: String = base.chars().take(room).collect();
    format!("{}{suffix}", base.trim_end_matches('-'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(vmid: u32, name: &str) -> Found {
        Found { node: "sv1".into(), vmid, name: name.into(), ..Found::default() }
    }

    fn named(machines: &[Found], taken: &[&str]) -> Vec<String> {
        let names = Names::new(machines, &taken.iter().map(|name| (*name).to_owned()).collect());
        machines.iter().map(|machine| names.of(machine).to_owned()).collect()
    }

    #[test]
    fn names_are_those_of_the_machines_as_far_as_kubernetes_takes_them() {
        for (name, expected) in [
            ("web", "web"),
            ("Web.Example.COM", "web-example-com"),
            ("-a__b-", "a-b"),
            ("Überall", "berall"),
            ("", "vm"),
            ("***", "vm"),
        ] {
            assert_eq!(named(&[found(500, name)], &[]), [expected], "{name}");
        }
    }

    #[test]
    fn no_two_are_the_same_and_none_is_one_that_is_taken() {
        let machines = [found(500, "web"), found(501, "WEB"), found(502, "db"), found(503, "web-500")];
        assert_eq!(named(&machines, &["db"]), ["web-500-sv1", "web-501", "db-502", "web-500"]);
        let twice = [found(500, "web"), Found { node: "sv2".into(), ..found(500, "web") }];
        assert_eq!(named(&twice, &[]), ["web-500", "web-500-sv2"]);
    }

    proptest! {
        #[test]
        fn every_name_is_one_that_kubernetes_takes_and_no_other_has(names in prop::collection::vec(".{0,80}", 1..12)) {
            let machines: Vec<_> = names.iter().zip(100..).map(|(name, vmid)| found(vmid, name)).collect();
            let named = named(&machines, &["vm", "a"]);
            let unique: BTreeSet<_> = named.iter().collect();
            prop_assert_eq!(unique.len(), machines.len());
            for name in &named {
                let label = !name.is_empty() && name.len() <= LONGEST
                    && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
                    && !name.starts_with('-') && !name.ends_with('-');
                prop_assert!(label && name != "vm" && name != "a", "{}", name);
            }
        }
    }
}
