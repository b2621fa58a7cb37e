//! Which host keys of an SSH server are believed: a `known_hosts` file, read for one server.

use regex::Regex;
use ring::hmac;
use russh::keys::{
    Algorithm, PublicKey,
    ssh_key::known_hosts::{HostPatterns, KnownHosts as Lines, Marker},
};

use super::HostPort;

/// What is known of one server.
#[derive(Debug)]
pub(crate) struct KnownHosts {
    keys: Vec<PublicKey>,
    revoked: Vec<PublicKey>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Known,
    Unknown,
    Revoked,
}

impl KnownHosts {
    /// The lines that are about this server.
    ///
    /// # Errors
    /// What is wrong with the text, or that it says nothing of the server.
    pub(crate) fn parse(text: &str, at: &HostPort) -> Result<Self, String> {
        let name = match at.port {
            22 => at.host.clone(),
            port => format!("[{}]:{port}", at.host),
        };
        let mut known = Self { keys: Vec::new(), revoked: Vec::new() };
        for (number, line) in text.lines().enumerate() {
            for entry in Lines::new(line) {
                let entry = entry.map_err(|error| format!("line {}: {error}", number.saturating_add(1)))?;
                if !matches(entry.host_patterns(), &name) {
                    continue;
                }
                match entry.marker() {
                    None => known.keys.push(entry.public_key().clone()),
                    Some(Marker::Revoked) => known.revoked.push(entry.public_key().clone()),
                    // Certificates are not asked for, so their authorities say nothing.
                    Some(Marker::CertAuthority) => {}
                }
            }
        }
        if known.keys.is_empty() {
            return Err(format!("no line is about {name}; `ssh-keyscan -p {} {}` prints them", at.port, at.host));
        }
        Ok(known)
    }

    /// Those of the offered algorithms of which a key is known: a server with keys of several kinds shows the one
    /// that is asked for first.
    pub(crate) fn algorithms(&self, offered: &[Algorithm]) -> Vec<Algorithm> {
        let same = |offered: &Algorithm, key: &PublicKey| match (offered, key.algorithm()) {
            (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }) => true,
            (offered, of_key) => *offered == of_key,
        };
        offered.iter().filter(|offered| self.keys.iter().any(|key| same(offered, key))).cloned().collect()
    }

    pub(crate) fn judge(&self, shown: &PublicKey) -> Verdict {
        let among = |keys: &[PublicKey]| keys.iter().any(|key| key.key_data() == shown.key_data());
        if among(&self.revoked) {
            Verdict::Revoked
        } else if among(&self.keys) {
            Verdict::Known
        } else {
            Verdict::Unknown
        }
    }
}

/// As sshd(8) says of the file's format: any pattern may match, none of the negated ones.
fn matches(patterns: &HostPatterns, name: &str) -> bool {
    match patterns {
        HostPatterns::Patterns(patterns) => {
            let negated = |pattern: &&String| pattern.starts_with('!');
            let matches = |pattern: &String| glob(pattern.trim_start_matches('!'), name);
            !patterns.iter().filter(negated).any(matches)
                && patterns.iter().filter(|pattern| !negated(pattern)).any(matches)
        }
        HostPatterns::HashedName { salt, hash } => {
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
            hmac::verify(&key, name.as_bytes(), hash).is_ok()
        }
    }
}

/// `*` stands for any characters, `?` for one; host names have no case.
fn glob(pattern: &str, name: &str) -> bool {
    let expression = regex::escape(pattern).replace(r"\*", ".*").replace(r"\?", ".");
    Regex::new(&format!("(?i)^{expression}$")).is_ok_and(|expression| expression.is_match(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA6rWI3G1sz07DnfFlrouTcysQlj2P+jpNSOEWD9OJ3X";

    fn at(host: &str, port: u16) -> HostPort {
        HostPort { host: host.into(), port }
    }

    fn key(text: &str) -> PublicKey {
        text.parse().unwrap()
    }

    #[test]
    fn only_lines_about_the_server_count() {
        for (line, host, port, verdict) in [
            (format!("docker1 {ONE}"), "docker1", 22, Verdict::Known),
            (format!("docker1,10.0.0.1 {ONE} comment"), "10.0.0.1", 22, Verdict::Known),
            (format!("[docker1]:2222 {ONE}"), "docker1", 2222, Verdict::Known),
            (format!("*.example {ONE}"), "Docker1.example", 22, Verdict::Known),
            (format!("docker1 {OTHER}"), "docker1", 22, Verdict::Unknown),
            (format!("docker1 {ONE}\n@revoked * {ONE}"), "docker1", 22, Verdict::Revoked),
            (
                format!("|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= {ONE}"),
                "192.168.1.61",
                22,
                Verdict::Known,
            ),
        ] {
            let known = KnownHosts::parse(&line, &at(host, port)).unwrap();
            assert_eq!(known.judge(&key(ONE)), verdict, "{line}");
        }
    }

    #[test]
    fn a_file_that_says_nothing_of_the_server_is_refused() {
        for (line, host, port) in [
            (String::new(), "docker1", 22),
            (format!("docker1 {ONE}"), "docker1", 2222),
            (format!("docker1 {ONE}"), "docker2", 22),
            (format!("*.example,!docker1.example {ONE}"), "docker1.example", 22),
            (format!("@cert-authority docker1 {ONE}"), "docker1", 22),
        ] {
            let problem = KnownHosts::parse(&line, &at(host, port)).unwrap_err();
            assert!(problem.contains("ssh-keyscan"), "{line}: {problem}");
        }
        let problem = KnownHosts::parse("# a comment\ndocker1 nonsense", &at("docker1", 22)).unwrap_err();
        assert!(problem.starts_with("line 2"), "{problem}");
    }

    #[test]
    fn patterns_match_as_in_ssh() {
        for (pattern, name, matches) in [
            ("docker1", "docker1", true),
            ("docker?", "docker1", true),
            ("docker?", "docker", false),
            ("*", "", true),
            ("d*r*1", "docker-1", true),
            ("*.example", "example", false),
            ("[*]:2222", "[docker1]:2222", true),
        ] {
            assert_eq!(glob(pattern, name), matches, "{pattern} {name}");
        }
    }
}
