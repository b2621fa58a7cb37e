//! `/nodes/N/tasks`: what ran and what runs.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Answer, ApiError, Call, Stop};
use crate::simulator::world::task::{Task, TaskKey};

pub(super) fn list(call: &mut Call<'_>) -> Answer {
    let auditor = call.may(&format!("/nodes/{}", call.node), "Sys.Audit");
    let (finished, running) = match call.text("source") {
        Some("active") => (false, true),
        Some("all") => (true, true),
        _ => (true, false),
    };
    let own = |task: &Task| call.owner.token.is_none() && task.owner == call.owner;
    let fits = |task: &&Task| {
        let failed = task.end.as_ref().is_some_and(|(_, status)| status != "OK" && !status.starts_with("WARNINGS"));
        task.node == call.node
            && if task.end.is_some() { finished } else { running }
            && (auditor || own(task))
            && call.text("vmid").is_none_or(|vmid| task.id == vmid)
            && call.text("typefilter").is_none_or(|kind| task.kind == kind)
            && call.text("userfilter").is_none_or(|user| task.owner.full().contains(user))
            && call.number("since").is_none_or(|since| task.start >= since)
            && call.number("until").is_none_or(|until| task.start <= until)
            && (!call.flag("errors") || failed)
    };
    let mut tasks: Vec<&Task> = call.world.tasks.newest_first().filter(fits).collect();
    tasks.sort_by_key(|task| task.end.is_some());
    let total = tasks.len();
    let start = usize::try_from(call.number("start").unwrap_or(0)).unwrap_or(usize::MAX);
    let limit = usize::try_from(call.number("limit").unwrap_or(50)).unwrap_or(usize::MAX);
    let lines = tasks.into_iter().skip(start).take(limit).map(Task::node_line).collect();
    if auditor {
        call.extra.insert("total".into(), json!(total));
    }
    Ok(Value::Array(lines))
}

/// The task of the path, if it is the caller's or they have that privilege on its node.
fn find(call: &Call<'_>, privilege: &str) -> Result<TaskKey, Stop> {
    let upid = call.rest.first().map_or("", String::as_str);
    let parts: Vec<&str> = upid.split(':').collect();
    let ["UPID", node, pid, pstart, start, kind, _, user, ..] = parts.as_slice() else {
        return Err(ApiError::param("upid", "unable to parse worker upid").into());
    };
    let hex = [pid, pstart, start].into_iter().all(|part| u64::from_str_radix(part, 16).is_ok());
    if !hex || kind.is_empty() || user.is_empty() {
        return Err(ApiError::param("upid", "unable to parse worker upid").into());
    }
    let own =
        *user == call.owner.full() || (call.owner.token.is_none() && user.split('!').next() == Some(&call.owner.user));
    if !own {
        call.require(&format!("/nodes/{node}"), privilege)?;
    }
    call.world.tasks.find(upid).ok_or_else(|| ApiError::param("upid", "no such task").into())
}

pub(super) fn status(call: &mut Call<'_>) -> Answer {
    let key = find(call, "Sys.Audit")?;
    Ok(call.world.tasks.get(key).map_or(Value::Null, Task::status))
}

pub(super) fn log(call: &mut Call<'_>) -> Answer {
    let key = find(call, "Sys.Audit")?;
    let lines = call.world.tasks.get(key).map(|task| task.log.as_slice()).unwrap_or_default();
    let start = usize::try_from(call.number("start").unwrap_or(0)).unwrap_or(usize::MAX);
    let limit = match call.number("limit") {
        None => 50,
        Some(0) => usize::MAX,
        Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
    };
    let shown = lines.iter().enumerate().skip(start).take(limit);
    let data: Vec<Value> = shown.map(|(index, line)| json!({"n": index + 1, "t": line})).collect();
    call.extra.insert("total".into(), json!(lines.len()));
    Ok(Value::Array(data))
}

/// SIGTERM to the worker; the call comes back a second later.
pub(super) fn stop(call: &mut Call<'_>) -> Answer {
    let key = find(call, "Sys.Modify")?;
    if call.world.tasks.get(key).is_some_and(|task| task.end.is_none()) {
        call.world.interrupt(key);
        call.delay = Duration::from_secs(1);
    }
    Ok(Value::Null)
}
