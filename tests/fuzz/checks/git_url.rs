//! What has to hold of the reading of a repository's URL, whatever a tenant writes.

use cloudfaster::docker::content::fetch::git::{GitUrl, SshUrl};

/// Reads a URL: nothing that a program or a server could take for something else gets through.
pub fn git_url(text: &str) {
    for allow_insecure in [false, true] {
        let Ok(url) = GitUrl::parse(text, allow_insecure) else { continue };
        assert!(!url.host().is_empty() && !url.host().starts_with('-'), "{text:?}");
        assert!(!text.chars().any(|letter| letter.is_control() || letter.is_whitespace()), "{text:?}");
        match url {
            GitUrl::Http(url) => {
                assert!(url.scheme() == "https" || (allow_insecure && url.scheme() == "http"), "{text:?}");
                assert!(url.username().is_empty() && url.password().is_none(), "{text:?}");
            }
            GitUrl::Ssh(SshUrl { user, at: _, path }) => {
                assert!(!user.is_empty() && !user.starts_with('-') && !user.contains(':'), "{text:?}");
                assert!(!path.is_empty() && !path.starts_with('-') && !path.contains('\0'), "{text:?}");
            }
        }
    }
}
