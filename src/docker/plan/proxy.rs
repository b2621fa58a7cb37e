//! The host's proxy, which meets each project on a network of the project's own.

use std::collections::BTreeMap;

use super::{
    super::desired::{Deployment, State},
    Action, Look,
    round::Round,
};

impl<'a> Round<'a> {
    /// Connects proxies to the networks on which they are to meet the project.
    pub fn meet_proxies(&mut self) {
        let deployment: &'a Deployment = self.deployment;
        if deployment.state == State::Stopped {
            return;
        }
        let wanted: BTreeMap<&str, &str> = deployment
            .networks
            .iter()
            .filter_map(|(key, network)| Some((*self.networks.get(key.as_str())?, network.proxy.as_deref()?)))
            .collect();
        for (network, proxy) in wanted {
            match self.context.observed.proxies.get(proxy) {
                None => self.look(Look::Proxy(proxy.to_owned())),
                Some(None) => self.warn(
                    "ProxyNotFound",
                    format!(
                        "the host's proxy, container {proxy}, is not there: nobody reaches the service by its name"
                    ),
                ),
                Some(Some(met)) if met.contains(network) => {}
                Some(Some(_)) => {
                    self.act(Action::ConnectProxy { network: network.to_owned(), proxy: proxy.to_owned() });
                }
            }
        }
    }
}
