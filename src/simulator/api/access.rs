//! `/access`: tickets and rights.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Answer, ApiError, Call};
use crate::simulator::world::task::Owner;

pub(super) fn login(call: &mut Call<'_>) -> Answer {
    let mut user = call.text("username").unwrap_or_default().to_owned();
    if let Some(realm) = call.text("realm").filter(|_| !user.contains('@')) {
        user = format!("{user}@{realm}");
    }
    let now = call.world.unix_time();
    let Some((ticket, csrf)) = call.world.access.login(&user, call.text("password").unwrap_or_default(), now) else {
        let error = ApiError { after: Duration::from_secs(3), ..ApiError::new(401, "authentication failure") };
        return Err(error.into());
    };
    let owner = Owner { user: user.clone(), token: None };
    let mut answer = Map::from_iter([
        ("username".to_owned(), json!(user)),
        ("ticket".to_owned(), json!(ticket)),
        ("CSRFPreventionToken".to_owned(), json!(csrf)),
        ("cap".to_owned(), capabilities(call, &owner)),
    ]);
    if let Some(name) = &call.world.cluster_name {
        answer.insert("clustername".into(), json!(name));
    }
    Ok(Value::Object(answer))
}

/// What the web interface may show: the rights on the roots of the tree.
fn capabilities(call: &Call<'_>, owner: &Owner) -> Value {
    let areas = [("dc", "/"), ("vms", "/vms"), ("nodes", "/nodes"), ("storage", "/storage"), ("access", "/access")];
    let rights = areas.map(|(area, path)| (area.to_owned(), as_map(call.world.access.privileges(owner, path))));
    Value::Object(rights.into_iter().collect())
}

fn as_map(privileges: impl IntoIterator<Item = String>) -> Value {
    Value::Object(privileges.into_iter().map(|privilege| (privilege, json!(1))).collect())
}

pub(super) fn permissions(call: &mut Call<'_>) -> Answer {
    let paths = match call.text("path") {
        Some(path) => vec![path.to_owned()],
        None => {
            let mut paths = call.world.access.listed_paths();
            paths.extend(call.world.pools.values().flatten().map(|vmid| format!("/vms/{vmid}")));
            paths.into_iter().collect()
        }
    };
    let mut answer = Map::new();
    for path in paths {
        let privileges = call.world.access.privileges(&call.owner, &path);
        if !privileges.is_empty() || call.text("path").is_some() {
            answer.insert(path, as_map(privileges));
        }
    }
    Ok(Value::Object(answer))
}
