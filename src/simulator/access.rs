//! Who may do what: users, tokens, tickets, roles, and the rights they give on paths.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::scenario::{AclSpec, Release, Scenario, TokenSpec, UserSpec};
use super::world::task::Owner;

/// How long a ticket is valid, in seconds.
const TICKET_LIFE: u64 = 7200;

/// Proxmox's own roles, as far as they are of use here.
const ROLES: &[(&str, &str)] = &[
    ("NoAccess", ""),
    ("PVEAuditor", "Datastore.Audit Mapping.Audit Pool.Audit SDN.Audit Sys.Audit VM.Audit VM.GuestAgent.Audit"),
    (
        "PVEVMAdmin",
        "VM.Allocate VM.Audit VM.Backup VM.Clone VM.Config.CDROM VM.Config.CPU VM.Config.Cloudinit VM.Config.Disk \
         VM.Config.HWType VM.Config.Memory VM.Config.Network VM.Config.Options VM.Console VM.Migrate VM.Monitor \
         VM.PowerMgmt VM.Snapshot VM.Snapshot.Rollback VM.GuestAgent.Audit \
         VM.GuestAgent.FileRead VM.GuestAgent.FileSystemMgmt VM.GuestAgent.FileWrite VM.GuestAgent.Unrestricted VM.Replicate",
    ),
    ("PVEVMUser", "VM.Audit VM.Backup VM.Config.CDROM VM.Config.Cloudinit VM.Console VM.PowerMgmt VM.GuestAgent.Audit"),
    ("PVEDatastoreAdmin", "Datastore.Allocate Datastore.AllocateSpace Datastore.AllocateTemplate Datastore.Audit"),
    ("PVEDatastoreUser", "Datastore.AllocateSpace Datastore.Audit"),
    ("PVESDNUser", "SDN.Audit SDN.Use"),
    ("PVEPoolAdmin", "Pool.Allocate Pool.Audit"),
];

/// Privileges that none of the roles here has.
const ROOT_ONLY: &[&str] = &["Permissions.Modify", "Sys.Modify", "Sys.PowerMgmt", "User.Modify"];

/// The paths that `/access/permissions` lists for everyone, beside those of the access control list.
const COMMON_PATHS: &[&str] = &["/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms"];

#[derive(Clone, Debug)]
pub(crate) struct Access {
    release: Release,
    users: BTreeMap<String, UserSpec>,
    tokens: BTreeMap<String, TokenSpec>,
    roles: BTreeMap<String, BTreeSet<String>>,
    acl: Vec<AclSpec>,
    secret: u64,
}

/// Why nobody is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    NoTicket,
    Failed,
    Csrf,
}

impl Refusal {
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoTicket => "No ticket",
            Self::Failed => "Authentication failed!",
            Self::Csrf => "Permission denied - invalid csrf token",
        }
    }
}

/// What a request brings to prove who it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Credentials {
    pub authorization: Option<String>,
    /// Value of the cookie `PVEAuthCookie`.
    pub cookie: Option<String>,
    pub csrf: Option<String>,
}

impl Access {
    pub fn new(scenario: &Scenario) -> Self {
        let known = |privilege: &&str| exists(scenario.release, privilege);
        let own = ROLES.iter().map(|(name, privileges)| {
            let privileges = privileges.split_whitespace().filter(known).map(str::to_owned).collect();
            ((*name).to_owned(), privileges)
        });
        let given = scenario.roles.iter().map(|(name, privileges)| {
            let privileges = privileges.iter().filter(|word| exists(scenario.release, word)).cloned().collect();
            (name.clone(), privileges)
        });
        Self {
            release: scenario.release,
            users: scenario.users.iter().map(|user| (user.name.clone(), user.clone())).collect(),
            tokens: scenario.tokens.iter().map(|token| (token.id.clone(), token.clone())).collect(),
            roles: own.chain(given).collect(),
            acl: scenario.acl.clone(),
            secret: scenario.seed,
        }
    }

    pub fn grant(&mut self, line: AclSpec) {
        self.acl.push(line);
    }

    pub fn set_role(&mut self, name: &str, privileges: &[&str]) {
        let known = privileges.iter().filter(|word| exists(self.release, word));
        self.roles.insert(name.to_owned(), known.map(|&word| word.to_owned()).collect());
    }

    /// Who sends the request.
    pub fn identify(&self, credentials: &Credentials, write: bool, now: u64) -> Result<Owner, Refusal> {
        if let Some(header) = &credentials.authorization {
            let token = header.strip_prefix("PVEAPIToken").and_then(|rest| rest.strip_prefix(['=', ' ']));
            return token.map_or(Err(Refusal::NoTicket), |token| self.token(token));
        }
        let Some(ticket) = &credentials.cookie else {
            return Err(Refusal::NoTicket);
        };
        let user = self.ticket_user(ticket, now).ok_or(Refusal::Failed)?;
        if write && credentials.csrf.as_deref().is_none_or(|token| !self.csrf_is_valid(token, &user, now)) {
            return Err(Refusal::Csrf);
        }
        Ok(Owner { user, token: None })
    }

    fn token(&self, text: &str) -> Result<Owner, Refusal> {
        let (id, secret) = text.split_once('=').ok_or(Refusal::Failed)?;
        let token = self.tokens.get(id).ok_or(Refusal::Failed)?;
        let owner = Owner::parse(id);
        let enabled = self.users.get(&owner.user).is_some_and(|user| user.enabled);
        if token.secret == secret && !token.expired && enabled { Ok(owner) } else { Err(Refusal::Failed) }
    }

    fn sign(&self, text: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(self.secret.to_be_bytes());
        hash.update(text);
        hex::encode(hash.finalize())
    }

    /// Ticket and CSRF token for a right password, or for a valid ticket in its place.
    pub fn login(&self, user: &str, password: &str, now: u64) -> Option<(String, String)> {
        let known = self.users.get(user)?;
        let right =
            known.password.as_deref() == Some(password) || self.ticket_user(password, now).as_deref() == Some(user);
        if !known.enabled || !right {
            return None;
        }
        let text = format!("PVE:{user}:{now:08X}");
        let ticket = format!("{text}::{}", self.sign(&text));
        let text = format!("{now:08X}:{user}");
        Some((ticket, format!("{now:08X}:{}", self.sign(&text))))
    }

    fn ticket_user(&self, ticket: &str, now: u64) -> Option<String> {
        let (text, signature) = ticket.split_once("::")?;
        let (user, time) = text.strip_prefix("PVE:")?.rsplit_once(':')?;
        let made = u64::from_str_radix(time, 16).ok()?;
        (self.sign(text) == signature && now < made + TICKET_LIFE).then(|| user.to_owned())
    }

    fn csrf_is_valid(&self, token: &str, user: &str, now: u64) -> bool {
        let Some((time, signature)) = token.split_once(':') else {
            return false;
        };
        let young = u64::from_str_radix(time, 16).is_ok_and(|made| now < made + TICKET_LIFE);
        young && self.sign(&format!("{time}:{user}")) == signature
    }

    /// The rights of a user or token on a path.
    pub fn privileges(&self, owner: &Owner, path: &str) -> BTreeSet<String> {
        let all = self.roles.values().flatten().map(String::as_str).chain(ROOT_ONLY.iter().copied());
        let mut all: BTreeSet<String> = all.map(str::to_owned).collect();
        all.retain(|privilege| self.has(owner, path, privilege));
        all
    }

    /// Whether a user or token has a right on a path.
    pub fn has(&self, owner: &Owner, path: &str, privilege: &str) -> bool {
        let user_may = owner.user == "root@pam" || self.role_gives(&owner.user, path, privilege);
        if owner.token.is_none() || !user_may {
            return user_may;
        }
        let full = owner.full();
        let separated = self.tokens.get(&full).is_some_and(|token| token.privsep);
        !separated || self.role_gives(&full, path, privilege)
    }

    /// Of the entries for somebody those of the deepest path count; those above it do not.
    fn role_gives(&self, who: &str, path: &str, privilege: &str) -> bool {
        let (mut deepest, mut gives) = (0, false);
        for line in self.acl.iter().filter(|line| line.who == who) {
            let above = line.path == "/" || path.strip_prefix(&line.path).is_some_and(|rest| rest.starts_with('/'));
            if line.path != path && !(above && line.propagate) {
                continue;
            }
            let depth = if line.path == "/" { 0 } else { line.path.matches('/').count() };
            if depth < deepest {
                continue;
            }
            let here = self.roles.get(&line.role).is_some_and(|role| role.contains(privilege));
            gives = here || (depth == deepest && gives);
            deepest = depth;
        }
        gives
    }

    /// The paths that `/access/permissions` shows.
    pub fn listed_paths(&self) -> BTreeSet<String> {
        let common = COMMON_PATHS.iter().map(|&path| path.to_owned());
        common.chain(self.acl.iter().map(|line| line.path.clone())).collect()
    }
}

fn exists(release: Release, privilege: &str) -> bool {
    match release {
        Release::V8 => !privilege.starts_with("VM.GuestAgent.") && privilege != "VM.Replicate",
        Release::V9 => privilege != "VM.Monitor",
    }
}
