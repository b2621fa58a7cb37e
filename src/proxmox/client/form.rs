//! Parameters, encoded as Proxmox reads them.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The value of `sshkeys`: Proxmox wants it percent-encoded (a blank as `%20`, never `+`) **before** it
/// is encoded as a form parameter, which every write does by itself.
pub fn encode_ssh_keys(keys: &str) -> String {
    utf8_percent_encode(keys, UNRESERVED).to_string()
}

/// A segment of a path: a task's id or a volume's, whose colons, slashes and `!` do not belong there.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

/// Parameters in order; those without a value are left out.
#[derive(Clone, Default)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.0.push((key.to_owned(), value.to_string()));
        self
    }

    pub fn maybe(self, key: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.set(key, value),
            None => self,
        }
    }

    /// `1` or `0`: in forms, `true` is refused.
    pub fn flag(self, key: &str, value: bool) -> Self {
        self.set(key, u8::from(value))
    }

    /// `1`, or left out.
    pub fn flag_if(self, key: &str, value: bool) -> Self {
        if value { self.flag(key, true) } else { self }
    }

    pub fn encode(&self) -> String {
        form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_keys_are_encoded_twice_and_hold_no_plus() {
        let keys = encode_ssh_keys("ssh-ed25519 AAAA+b/c= user+tag@host\nssh-rsa BBBB x");
        assert_eq!(keys, "ssh-ed25519%20AAAA%2Bb%2Fc%3D%20user%2Btag%40host%0Assh-rsa%20BBBB%20x");
        let form = Params::new().set("sshkeys", &keys).encode();
        assert!(form.starts_with("sshkeys=ssh-ed25519%2520AAAA%252Bb%252Fc"), "{form}");
        assert!(!form.contains('+'));
    }

    #[test]
    fn truth_values_are_digits_and_absent_ones_are_left_out() {
        let form = Params::new()
            .flag("full", true)
            .flag("purge", false)
            .flag_if("force", false)
            .maybe("pool", None::<&str>)
            .set("name", "ä b")
            .encode();
        assert_eq!(form, "full=1&purge=0&name=%C3%A4+b");
    }

    #[test]
    fn a_task_id_is_one_segment() {
        assert_eq!(segment("UPID:a:1!x/"), "UPID%3Aa%3A1%21x%2F");
    }
}
