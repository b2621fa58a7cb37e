//! What the shim is told on the command line.

use std::{path::PathBuf, time::Duration};

use http::{HeaderValue, Uri};
use ipnet::IpNet;
use jiff::SignedDuration;

use crate::{api::Size, artifacts::Store};

/// The namespace in which the shim keeps keys and users.
pub const NAMESPACE: &str = "cloudfaster-rest";
/// The namespace in which the machines of all users are.
pub const USERS_NAMESPACE: &str = "cloudfaster-users";

/// What every form of the shim is told.
#[derive(Clone, Debug, clap::Args)]
#[group(id = "rest")]
pub struct Settings {
    /// Namespace in which the shim keeps its API keys and users.
    #[arg(long, env = "CLOUDFASTER_REST_NAMESPACE", value_name = "NAMESPACE", default_value = NAMESPACE)]
    pub rest_namespace: String,
    /// Namespace in which what the shim makes for its users is.
    #[arg(long, env = "CLOUDFASTER_REST_USERS_NAMESPACE", value_name = "NAMESPACE", default_value = USERS_NAMESPACE)]
    pub rest_users_namespace: String,
    /// Make a namespace for each user instead, `cloudfaster-user-…`. Needs the rights of
    /// manifests/components/rest-namespace-per-user.
    #[arg(long, env = "CLOUDFASTER_REST_NAMESPACE_PER_USER")]
    pub rest_namespace_per_user: bool,
    /// Make machines on this ProxmoxCluster only. Without it, on the first by name that is Ready and has a template for the
    /// operating system.
    #[arg(long, env = "CLOUDFASTER_REST_CLUSTER", value_name = "NAME")]
    pub rest_cluster: Option<String>,
    /// How long the answer to a new machine waits for the machine's VMID.
    #[arg(long, value_parser = duration, env = "CLOUDFASTER_REST_VMID_WAIT", value_name = "DURATION", default_value = "60s")]
    pub rest_vmid_wait: Duration,
    /// Serve over TLS with this certificate and those above it, in PEM. It is read again when it changes.
    #[arg(long, env = "CLOUDFASTER_REST_TLS_CERT", value_name = "FILE", requires = "rest_tls_key")]
    pub rest_tls_cert: Option<PathBuf>,
    /// The key of the certificate, in PEM.
    #[arg(long, env = "CLOUDFASTER_REST_TLS_KEY", value_name = "FILE", requires = "rest_tls_cert")]
    pub rest_tls_key: Option<PathBuf>,
    /// An origin whose pages may use the API, such as `https://panel.example.com`; several separated by commas. Without it
    /// none may, but for the API's own.
    #[arg(long, value_parser = origin, env = "CLOUDFASTER_REST_CORS_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    pub rest_cors_origin: Vec<HeaderValue>,
    /// The network of a reverse proxy, such as `10.0.0.0/8`, which is believed what it says of its clients' addresses;
    /// several separated by commas.
    #[arg(long, env = "CLOUDFASTER_REST_TRUSTED_PROXY", value_name = "NETWORK", value_delimiter = ',')]
    pub rest_trusted_proxy: Vec<IpNet>,
    /// Requests a second that are answered for each API key; 0 for any number.
    #[arg(long, env = "CLOUDFASTER_REST_REQUESTS_PER_SECOND", value_name = "NUMBER", default_value_t = 100)]
    pub rest_requests_per_second: u32,
    /// Make services on this DockerHost only. Without it, on the first by name that is Ready.
    #[arg(long, env = "CLOUDFASTER_REST_DOCKER_HOST", value_name = "NAME")]
    pub rest_docker_host: Option<String>,
    /// How large an uploaded archive may be.
    #[arg(long, env = "CLOUDFASTER_REST_UPLOAD_LIMIT", value_name = "SIZE", default_value = "1Gi")]
    pub rest_upload_limit: Size,
    /// Where uploaded archives are kept.
    #[arg(skip)]
    pub artifacts: Option<Store>,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed: SignedDuration = text.parse().map_err(|_| "not a time such as 60s, 500ms or 1m 30s".to_owned())?;
    Duration::try_from(parsed).map_err(|_| "must not be negative".to_owned())
}

/// An origin as browsers send it.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let wrong = || format!("{text} is no origin; write it as browsers send it, such as https://panel.example.com");
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(wrong()) };
    // Anything else would never equal what a browser sends.
    let sent = format!("{scheme}://{authority}").to_ascii_lowercase();
    if !["http", "https"].contains(&scheme) || authority.as_str().contains('@') || sent != text {
        return Err(wrong());
    }
    HeaderValue::from_str(text).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_one_that_a_browser_sends() {
        for (text, right) in [
            ("https://panel.example.com", true),
            ("http://localhost:3000", true),
            ("http://[::1]:3000", true),
            ("*", false),
            ("null", false),
            ("https://panel.example.com/", false),
            ("https://panel.example.com/app", false),
            ("https://Panel.example.com", false),
            ("https://ana@panel.example.com", false),
            ("panel.example.com", false),
            ("ftp://panel.example.com", false),
            ("", false),
        ] {
            assert_eq!(origin(text).is_ok(), right, "{text}");
        }
    }
}
