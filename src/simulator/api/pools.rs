//! `/pools`.

use serde_json::{Value, json};

use super::cluster::line;
use super::{Answer, ApiError, Call};

pub(super) fn list(call: &mut Call<'_>) -> Answer {
    let visible = call.world.pools.keys().filter(|pool| call.may(&format!("/pool/{pool}"), "Pool.Audit"));
    Ok(visible.map(|pool| json!({"poolid": pool})).collect())
}

fn name(call: &Call<'_>) -> String {
    call.rest.first().cloned().unwrap_or_default()
}

pub(super) fn get(call: &mut Call<'_>) -> Answer {
    let pool = name(call);
    call.require(&format!("/pool/{pool}"), "Pool.Audit")?;
    let Some(members) = call.world.pools.get(&pool) else {
        return Err(ApiError::plain(format!("pool '{pool}' does not exist")).into());
    };
    let guests = members.iter().filter_map(|vmid| call.world.guest(*vmid));
    let members: Vec<Value> = guests
        .map(|guest| {
            let mut line = line(call, guest);
            if let Value::Object(line) = &mut line {
                line.remove("pool");
                line.remove("tags");
            }
            line
        })
        .collect();
    Ok(json!({"poolid": pool, "members": members}))
}

pub(super) fn create(call: &mut Call<'_>) -> Answer {
    let pool = call.text("poolid").unwrap_or_default().to_owned();
    if call.world.pools.contains_key(&pool) {
        return Err(ApiError::plain(format!("create pool failed: pool '{pool}' already exists")).into());
    }
    call.world.pools.insert(pool, Default::default());
    call.world.touch();
    Ok(Value::Null)
}

pub(super) fn update(call: &mut Call<'_>) -> Answer {
    let pool = call.text("poolid").map_or_else(|| name(call), str::to_owned);
    call.require(&format!("/pool/{pool}"), "Pool.Allocate")?;
    let failed = |text: String| ApiError::plain(format!("update pools failed: {text}"));
    if !call.world.pools.contains_key(&pool) {
        return Err(failed(format!("pool '{pool}' does not exist")).into());
    }
    let words = call.text("vms").unwrap_or_default().split(',');
    let vmids: Vec<u32> = words.filter_map(|vmid| vmid.trim().parse().ok()).collect();
    let (delete, moves) = (call.flag("delete"), call.flag("allow-move"));
    let mut changed = call.world.pools.clone();
    for vmid in vmids {
        call.require(&format!("/vms/{vmid}"), "VM.Allocate")?;
        let before = changed.iter().find(|(_, members)| members.contains(&vmid)).map(|(name, _)| name.clone());
        match before {
            None if delete => return Err(failed(format!("VM {vmid} is not a pool member")).into()),
            Some(other) if !delete && other == pool => {
                return Err(failed(format!("VM {vmid} is already a pool member")).into());
            }
            Some(other) if !delete && !moves => {
                let text = format!("VM {vmid} belongs already to pool '{other}' and 'allow-move' is not set");
                return Err(failed(text).into());
            }
            Some(other) if !delete => call.require(&format!("/pool/{other}"), "Pool.Allocate")?,
            Some(_) | None => {}
        }
        for members in changed.values_mut() {
            members.remove(&vmid);
        }
        if let Some(members) = changed.get_mut(&pool).filter(|_| !delete) {
            members.insert(vmid);
        }
    }
    call.world.pools = changed;
    call.world.touch();
    Ok(Value::Null)
}

pub(super) fn delete(call: &mut Call<'_>) -> Answer {
    let pool = name(call);
    call.require(&format!("/pool/{pool}"), "Pool.Allocate")?;
    match call.world.pools.get(&pool) {
        None => Err(ApiError::plain(format!("delete pool failed: pool '{pool}' does not exist")).into()),
        Some(members) if !members.is_empty() => {
            Err(ApiError::plain(format!("delete pool failed: pool '{pool}' is not empty")).into())
        }
        Some(_) => {
            call.world.pools.remove(&pool);
            call.world.touch();
            Ok(Value::Null)
        }
    }
}
