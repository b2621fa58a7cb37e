//! What of a machine's config differs from the spec.

use super::{CloudInit, MachineSpec, Owner, Place, Stage};
use crate::proxmox::{
    client::encode_ssh_keys,
    identity::{self, Mark},
    wire::VmConfig,
};

/// The tag that shows people which machines are ours.
pub const TAG: &str = "cloudfaster";

/// The keys whose values differ, with the values they should have.
pub(super) fn differences(
    spec: &MachineSpec,
    owner: &Owner,
    place: &Place,
    stage: Stage,
    config: &VmConfig,
) -> Vec<(String, String)> {
    let mut changes = Vec::new();
    if config.cores() != spec.cores {
        changes.push(("cores".to_owned(), spec.cores.to_string()));
    }
    if config.memory_mib() != spec.memory_mib {
        changes.push(("memory".to_owned(), spec.memory_mib.to_string()));
    }
    // The second mark comes with the first configuration, so its absence says that the passwords were not set yet:
    // they read back masked and cannot be compared.
    let uuid = owner.smbios_uuid(place.vmid);
    let configured = stage == Stage::Established || config.smbios_uuid() == Some(uuid);
    if let Some(cloud_init) = &spec.cloud_init {
        changes.extend(cloud_init_differences(cloud_init, configured, config));
    }
    if config.smbios_uuid() != Some(uuid) {
        changes.push(("smbios1".to_owned(), with_uuid(config.get("smbios1").unwrap_or_default(), &uuid.to_string())));
    }
    let mark = owner.mark(place.vmid);
    if Mark::find(config.description()).one() != Some(&mark) {
        changes.push(("description".to_owned(), identity::compose(&identity::strip(config.description()), &mark)));
    }
    changes
}

fn cloud_init_differences(wanted: &CloudInit, configured: bool, config: &VmConfig) -> Vec<(String, String)> {
    let CloudInit { user, password, ssh_keys } = wanted;
    let mut changes = Vec::new();
    if let Some(user) = user
        && config.get("ciuser") != Some(user)
    {
        changes.push(("ciuser".to_owned(), user.clone()));
    }
    if let Some(password) = password
        && !configured
    {
        changes.push(("cipassword".to_owned(), password.clone()));
    }
    if !ssh_keys.is_empty() {
        let keys = encode_ssh_keys(&ssh_keys.join("\n"));
        if config.get("sshkeys").map(str::trim) != Some(keys.as_str()) {
            changes.push(("sshkeys".to_owned(), keys));
        }
    }
    changes
}

/// The SMBIOS settings with another UUID and all else as it was.
fn with_uuid(smbios: &str, uuid: &str) -> String {
    std::iter::once(format!("uuid={uuid}"))
        .chain(smbios.split(',').filter(|part| !part.is_empty() && !part.starts_with("uuid=")).map(str::to_owned))
        .collect::<Vec<_>>()
        .join(",")
}

/// The tags with ours added, if it is not among them.
pub(super) fn missing_tag(config: &VmConfig) -> Option<String> {
    let mut tags = config.tags();
    if tags.iter().any(|tag| tag == TAG) {
        return None;
    }
    tags.push(TAG.to_owned());
    Some(tags.join(";"))
}

/// The keys that the spec names and that run with another value than they will have after a reboot.
pub(super) fn held_back(pending: &VmConfig, current: &VmConfig) -> Vec<String> {
    ["cores", "memory"].into_iter().filter(|key| pending.get(key) != current.get(key)).map(str::to_owned).collect()
}
