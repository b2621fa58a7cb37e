//! Makes the one change that a step asks for.

use sha_crypt::{PasswordHasher, ShaCrypt};

use crate::{
    controller::fleet::{Fleet, Route},
    proxmox::{
        client::{CloneRequest, ConfigChange, Destroy, Error, Shutdown},
        plan::{Action, DiskChange, NewPassword, Password, Place, ShutdownSpec, Task, TaskAction},
        wire::Upid,
    },
};

/// Makes the change. The task that it started, if it started one.
///
/// # Errors
/// Proxmox's refusal, or what the connection met; whether it happened, the error knows.
pub async fn act(fleet: &Fleet, action: &Action) -> Result<Option<Task>, Error> {
    let gone = |node: &str| Error::Settings(format!("the ProxmoxCluster does not name the node {node} any more"));
    let route = |place: &Place| fleet.route(&place.node).ok_or_else(|| gone(&place.node));
    let started = |place: &Place, action: TaskAction, upid: Upid| Some(Task { upid, node: place.node.clone(), action });
    Ok(match action {
        Action::Clone { place, source, template, linked, storage, pool, name: machine, description } => {
            let Route { client, name } = fleet.route(source).ok_or_else(|| gone(source))?;
            let target = &route(place)?.name;
            let request = CloneRequest {
                new_id: place.vmid,
                name: machine.clone(),
                description: description.clone(),
                full: !linked,
                storage: storage.clone(),
                pool: pool.clone(),
                target: (target != name).then(|| target.clone()),
                ..CloneRequest::default()
            };
            let upid = client.clone_vm(name, *template, &request).await?;
            // It runs where the template is.
            Some(Task { upid, node: source.clone(), action: TaskAction::Clone })
        }
        Action::Configure { place, set, delete, password, digest } => {
            let mut change = ConfigChange {
                set: set.0.clone(),
                delete: delete.clone(),
                digest: digest.clone(),
                ..ConfigChange::default()
            };
            if let Some(password) = password {
                change.set.push(("cipassword".to_owned(), encode(password)?));
            }
            configure(route(place)?, place, change).await?;
            None
        }
        Action::Tag { place, tags, .. } => {
            let set = vec![("tags".to_owned(), tags.clone())];
            let change = ConfigChange { set, ..ConfigChange::default() };
            configure(route(place)?, place, change).await?;
            None
        }
        Action::Resize { place, disk, bytes } => {
            let Route { client, name } = route(place)?;
            started(place, TaskAction::Resize, client.resize(name, place.vmid, disk, *bytes).await?)
        }
        Action::Disk { place, name: _, change, digest } => {
            let Route { client, name } = route(place)?;
            // What cannot be done while it runs waits for its next boot; to revert it would leave a volume behind.
            let upid = client.begin_config(name, place.vmid, &disk_change(change, digest.clone())).await?;
            started(place, TaskAction::Disk, upid)
        }
        Action::Pool { place, pool } => {
            route(place)?.client.set_pool(pool, place.vmid).await?;
            None
        }
        Action::Start(place) => {
            let Route { client, name } = route(place)?;
            started(place, TaskAction::Start, client.start(name, place.vmid).await?)
        }
        Action::Stop(place) => {
            let Route { client, name } = route(place)?;
            started(place, TaskAction::Stop, client.stop(name, place.vmid, false).await?)
        }
        Action::Shutdown { place, how: ShutdownSpec { seconds, force } } => {
            let Route { client, name } = route(place)?;
            let how = Shutdown { timeout: Some(u64::from(*seconds)), force_stop: *force };
            started(place, TaskAction::Shutdown, client.shutdown(name, place.vmid, how).await?)
        }
        Action::Suspend(place) => {
            let Route { client, name } = route(place)?;
            started(place, TaskAction::Suspend, client.suspend(name, place.vmid).await?)
        }
        Action::Resume(place) => {
            let Route { client, name } = route(place)?;
            started(place, TaskAction::Resume, client.resume(name, place.vmid).await?)
        }
        Action::Destroy(place) => {
            let Route { client, name } = route(place)?;
            // Unreferenced disks by name could be another cluster's, on a shared storage.
            let what = Destroy { purge: true, unreferenced_disks: false };
            started(place, TaskAction::Destroy, client.destroy(name, place.vmid, what).await?)
        }
        Action::FreeVolume { place, volume } => {
            let Route { client, name } = route(place)?;
            client.delete_volume(name, volume).await?.and_then(|upid| started(place, TaskAction::FreeVolume, upid))
        }
        Action::StopTask(task) => {
            let Route { client, .. } = fleet.route(&task.node).ok_or_else(|| gone(&task.node))?;
            client.stop_task(&task.upid).await?;
            Some(task.clone())
        }
    })
}

fn disk_change(change: &DiskChange, digest: Option<String>) -> ConfigChange {
    let (set, delete) = match change {
        DiskChange::Attach { key, value } => (vec![(key.clone(), value.clone())], Vec::new()),
        DiskChange::Detach { key } | DiskChange::Remove { key } => (Vec::new(), vec![key.clone()]),
    };
    ConfigChange { set, delete, digest, ..ConfigChange::default() }
}

/// The password as it is sent: a crypt hash, if it is to be one, which Proxmox passes on as it is.
fn encode(password: &NewPassword) -> Result<String, Error> {
    let NewPassword { password: Password { text, version: _ }, salt } = password;
    match salt {
        None => Ok(text.clone()),
        Some(salt) => match ShaCrypt::default().hash_password_with_salt(text.as_bytes(), salt) {
            Ok(hash) => Ok(hash.to_string()),
            Err(error) => Err(Error::Settings(format!("the password cannot be hashed: {error}"))),
        },
    }
}

/// A refused change is not atomic: what it left pending is read and reverted.
async fn configure(route: &Route, place: &Place, change: ConfigChange) -> Result<(), Error> {
    let Route { client, name } = route;
    let error = match client.update_config(name, place.vmid, &change).await {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    if error.api().is_some_and(|refusal| !refusal.is_auth() && !refusal.is_digest_mismatch())
        && let Ok(pending) = client.vm_pending(name, place.vmid).await
    {
        let ours =
            |key: &str| change.set.iter().any(|(set, _)| set == key) || change.delete.iter().any(|set| set == key);
        let revert: Vec<String> = pending
            .iter()
            .filter(|value| value.is_pending() && ours(&value.key))
            .map(|value| value.key.clone())
            .collect();
        if !revert.is_empty() {
            let undo = ConfigChange { revert, ..ConfigChange::default() };
            if let Err(error) = client.update_config(name, place.vmid, &undo).await {
                tracing::warn!(vmid = place.vmid, node = place.node, %error, "a refused change stays pending");
            }
        }
    }
    Err(error)
}
