//! What a client asks for when it wants a machine.

use utoipa::ToSchema;

use crate::rest::{
    fault::Fault,
    form::{Fields, Form},
    names,
    problem::Problem,
};

/// The field with the keys.
const KEYS: &str = "ssh_pub_key";
/// The most characters of what clients give.
pub const USERID: usize = 128;
const NAME: usize = 256;
const SSH_KEYS: usize = 16 * 1024;
/// The most keys that a machine takes.
const MOST_KEYS: usize = 64;

/// A machine to be made.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes the form; the fields are read one by one")]
pub struct VmForm {
    /// The user whose machine it is: a number or a text.
    #[schema(min_length = 1, max_length = 128, example = "7")]
    userid: String,
    /// Its name. What is none of `A-Z`, `a-z`, `0-9` and `-` becomes `-`, and 32 characters are kept. A user has one machine
    /// of a name.
    #[schema(min_length = 1, max_length = 256, example = "web")]
    vm_name: String,
    /// The operating system, one of those that the installation has a template for. Required, here or as `sistema`.
    #[schema(nullable = false, example = "UBUNTU24_SERVER")]
    os: Option<String>,
    /// Another name of `os`.
    #[schema(nullable = false, example = "UBUNTU24_SERVER")]
    sistema: Option<String>,
    /// Size of the disk in GB.
    #[schema(nullable = false, minimum = 10, maximum = 500, default = 40)]
    disksize: Option<i64>,
    /// CPU cores.
    #[schema(nullable = false, minimum = 1, maximum = 8, default = 2)]
    cores: Option<i64>,
    /// Memory in MB.
    #[schema(nullable = false, minimum = 1024, maximum = 16384, default = 2048)]
    memory: Option<i64>,
    /// Public SSH keys that reach it, each a line.
    #[schema(nullable = false, max_length = 16384, example = "")]
    ssh_pub_key: Option<String>,
}

/// A machine to be made, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The user whose machine it is.
    pub userid: String,
    /// Its name, as the old system kept it.
    pub vm_name: String,
    /// The operating system.
    pub os: String,
    /// Size of the disk in GiB.
    pub disksize: i64,
    /// CPU cores.
    pub cores: i64,
    /// Memory in MiB.
    pub memory: i64,
    /// Public SSH keys.
    pub ssh_keys: Vec<String>,
}

impl Wanted {
    /// Reads the form, with what else is wrong with the request.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn read(form: &Form, known: &[String], mut faults: Vec<Fault>) -> Result<Self, Problem> {
        let mut fields = Fields::of(form);
        let userid = fields.required(&["userid"], USERID);
        let vm_name = fields.required(&["vm_name"], NAME);
        let os = fields.required(&["os", "sistema"], NAME);
        if let Some(os) = os
            && !known.iter().any(|name| name == os)
        {
            let place = fields.place(&["os", "sistema"]);
            fields.push(Fault::not_among(place, known, os));
        }
        let disksize = fields.number("disksize", 40, 10..=500);
        let cores = fields.number("cores", 2, 1..=8);
        let memory = fields.number("memory", 2048, 1024..=16384);
        let text = fields.optional(&[KEYS], SSH_KEYS).unwrap_or_default();
        let ssh_keys: Vec<String> =
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
        if let Some(wrong) = ssh_keys.iter().find(|key| !is_public_key(key)) {
            let why = "write public SSH keys as in authorized_keys: ssh-ed25519 AAAA… comment";
            fields.push(Fault::value(("body", KEYS), why, wrong));
        }
        if ssh_keys.len() > MOST_KEYS {
            fields.push(Fault::value(("body", KEYS), &format!("give at most {MOST_KEYS} keys"), text));
        }
        faults.extend(fields.faults());
        match (userid, vm_name, os) {
            (Some(userid), Some(vm_name), Some(os)) if faults.is_empty() => Ok(Self {
                userid: userid.to_owned(),
                vm_name: names::sanitised(vm_name),
                os: os.to_owned(),
                disksize,
                cores,
                memory,
                ssh_keys,
            }),
            _ => Err(Problem::Invalid(faults)),
        }
    }

    /// What tells one request from another.
    pub fn hash(&self) -> String {
        let Self { userid, vm_name, os, disksize, cores, memory, ssh_keys } = self;
        let numbers = [disksize.to_string(), cores.to_string(), memory.to_string()];
        let texts = [userid, vm_name, os].into_iter().chain(&numbers).chain(ssh_keys);
        names::hash(&texts.map(String::as_str).collect::<Vec<_>>())
    }
}

/// As the schema of the resource has it.
fn is_public_key(line: &str) -> bool {
    let mut parts = line.splitn(3, ' ');
    let (Some(kind), Some(key)) = (parts.next(), parts.next()) else { return false };
    let letters = |text: &str, also: &str| {
        !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric() || also.contains(letter))
    };
    (16..=4096).contains(&line.len())
        && letters(kind, "@.-")
        && !kind.bytes().any(|byte| byte.is_ascii_uppercase())
        && letters(key, "+/=")
        && !line.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_keys_are_lines_of_authorized_keys() {
        for (line, right) in [
            ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA", true),
            ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA ana@laptop of mine", true),
            ("sk-ssh-ed25519@openssh.com AAAAGnNr", true),
            ("ssh-ed25519", false),
            ("ssh-ed25519  AAAAC3NzaC1lZDI1NTE5AAAA", false),
            ("SSH-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA", false),
            ("ssh-ed25519 AAAA\u{7}AAAAAAAAAAAAA x", false),
            ("-----BEGIN OPENSSH PRIVATE KEY-----", false),
        ] {
            assert_eq!(is_public_key(line), right, "{line}");
        }
    }

    #[test]
    fn every_field_tells_one_request_from_another() {
        let wanted = Wanted {
            userid: "7".into(),
            vm_name: "web".into(),
            os: "DEBIAN12".into(),
            disksize: 40,
            cores: 2,
            memory: 2048,
            ssh_keys: vec!["a".into(), "b".into()],
        };
        let others = [
            Wanted { userid: "8".into(), ..wanted.clone() },
            Wanted { vm_name: "db".into(), ..wanted.clone() },
            Wanted { os: "FEDORA".into(), ..wanted.clone() },
            Wanted { disksize: 41, ..wanted.clone() },
            Wanted { cores: 3, ..wanted.clone() },
            Wanted { memory: 2049, ..wanted.clone() },
            Wanted { ssh_keys: vec!["ab".into()], ..wanted.clone() },
        ];
        assert!(others.iter().all(|other| other.hash() != wanted.hash()));
        assert_eq!(wanted.clone().hash(), wanted.hash());
    }
}
