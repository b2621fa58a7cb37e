//! What Proxmox's sentences mean, whether they end a request or a task.
//!
//! The sentences are those of real Proxmox VE 8.4 and 9.2 daemons.

/// The VM has no configuration on that node: `Configuration file '…' does not exist`, or of a
/// clone's template `unable to find configuration file for VM …`.
pub fn is_missing_config(text: &str) -> bool {
    (text.contains("Configuration file '") && text.contains("' does not exist"))
        || text.contains("unable to find configuration file for VM ")
}

/// The id is taken: `unable to create VM 600: config file already exists`, `… - VM 600 already exists
/// on node 'pve1'`, or of a clone's task `… File exists`.
pub fn is_config_exists(text: &str) -> bool {
    text.contains("config file already exists")
        || (text.contains("unable to create VM ") && text.contains(" already exists"))
        || text.contains("File exists")
}

/// Another process works on the VM or storage just now: `can't lock file '…' - got timeout`.
pub fn is_lock_timeout(text: &str) -> bool {
    text.contains("got timeout")
        && (text.contains("can't lock file") || text.contains("cfs-lock") || text.contains("got lock"))
}

/// The VM's lock: `backup` in `VM is locked (backup)`.
pub fn vm_lock(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("VM is locked (")?;
    Some(rest.split_once(')')?.0)
}

/// The process that was to do it could not be started (`PVE::RESTEnvironment::fork_worker`), as on a node that is overloaded.
pub fn is_no_worker(text: &str) -> bool {
    text.contains("start worker failed")
}

/// The answering node has no quorum, so that nothing can be written: `cluster not ready - no quorum?`,
/// or `unable to open file '/etc/pve/…' - Permission denied`.
pub fn is_no_quorum(text: &str) -> bool {
    text.contains("no quorum") || (text.contains("'/etc/pve/") && text.contains("Permission denied"))
}

/// The path and privilege (several with `|`: any of them) of `Permission check failed (/vms/501, VM.Audit)`.
pub fn missing_permission(text: &str) -> Option<(&str, &str)> {
    let (_, rest) = text.split_once("Permission check failed (")?;
    let (path, privilege) = rest.split_once(')')?.0.split_once(", ")?;
    path.starts_with('/').then_some((path, privilege))
}

/// The pool in `pool 'x' does not exist`, which a clone says as if a right were missing.
pub fn missing_pool(text: &str) -> Option<&str> {
    let (pool, rest) = text.split_once("pool '")?.1.split_once('\'')?;
    rest.starts_with(" does not exist").then_some(pool)
}

/// The guest did not end when it was asked to: `VM quit/powerdown failed - got timeout`.
pub fn is_deaf(text: &str) -> bool {
    text.contains("VM quit/powerdown failed")
}

/// The guest is not in the state that the call is for: `VM 600 not running`, `VM is paused - cannot shutdown`.
pub fn is_other_power(text: &str) -> bool {
    text.contains(" not running") || text.contains("VM is paused")
}

/// A device could not be plugged or unplugged while the guest runs: `hotplug problem - …`.
pub fn is_not_hot(text: &str) -> bool {
    text.contains("hotplug problem")
}

/// Somebody else changed the configuration first.
pub fn is_digest_mismatch(text: &str) -> bool {
    text.contains("checksum mismatch (file change by other user?)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_understood() {
        assert!(is_missing_config("Configuration file 'nodes/pve1/qemu-server/7777.conf' does not exist"));
        assert!(is_missing_config("unable to find configuration file for VM 8999 on node 'pve1'"));
        assert!(!is_missing_config("storage 'nosuch' does not exist"));
        assert!(is_config_exists("unable to create VM 101: config file already exists"));
        assert!(is_config_exists("unable to create VM 160 - VM 160 already exists on node 'pve1'"));
        assert!(!is_config_exists("unable to find configuration file for VM 8999"));
        assert!(is_lock_timeout("can't lock file '/var/lock/qemu-server/lock-110.conf' - got timeout"));
        assert!(!is_lock_timeout("VM quit/powerdown failed - got timeout"));
        assert_eq!(vm_lock("VM is locked (backup)"), Some("backup"));
        assert_eq!(vm_lock("VM is not locked"), None);
        assert!(is_no_quorum("cluster not ready - no quorum?"));
        assert!(is_no_quorum(
            "unable to open file '/etc/pve/nodes/pve1/qemu-server/101.conf.tmp.213' - Permission denied"
        ));
        assert_eq!(missing_permission("Permission check failed (/vms/501, VM.Audit)"), Some(("/vms/501", "VM.Audit")));
        for text in ["Permission check failed", "Permission check failed (pool 'nosuch' does not exist)"] {
            assert_eq!(missing_permission(text), None, "{text}");
        }
        assert_eq!(missing_pool("Permission check failed (pool 'nosuch' does not exist)"), Some("nosuch"));
        assert_eq!(missing_pool("update pools failed: pool 'a/b' does not exist"), Some("a/b"));
        assert_eq!(missing_pool("storage 'x' does not exist"), None);
        assert!(is_digest_mismatch("checksum mismatch (file change by other user?)"));
    }
}
