//! The engine of the tests.

use std::{env, fs, path::PathBuf};

use cloudfaster::docker::engine::{Access, Address, Engine, Identity, Limits, Settings, Tls};

/// How the engine is reached that DOCKER_HOST names, as Docker's own client would.
pub fn settings() -> Settings {
    let host = env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
    let address: Address = host.parse().unwrap_or_else(|error| panic!("DOCKER_HOST is {host}: {error}"));
    let access = match (&address, env::var_os("DOCKER_TLS_VERIFY")) {
        (Address::Unix(_), _) => Access::Local,
        (Address::Tcp(_), Some(_)) => {
            let folder = PathBuf::from(env::var_os("DOCKER_CERT_PATH").expect("DOCKER_CERT_PATH is not set"));
            let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
            let client = Identity { certificate: read("cert.pem"), key: read("key.pem").into() };
            Access::Tls(Tls { ca: Some(read("ca.pem")), client: Some(client) })
        }
        (Address::Tcp(_), None) => Access::Unencrypted,
        (Address::Ssh { .. }, _) => panic!("DOCKER_HOST is {host}: the tests need a socket or TCP"),
    };
    Settings { address, access, limits: Limits::default() }
}

/// A client of that engine.
pub fn engine() -> Engine {
    Engine::new(&settings()).unwrap()
}
