//! Networks, which are always named by id: a name can stand for several.

use bollard::{
    models::{
        EndpointSettings, Network, NetworkConnectRequest, NetworkCreateRequest, NetworkDisconnectRequest,
        NetworkInspect,
    },
    query_parameters::ListNetworksOptions,
};

use super::{Call, Engine, Result, filter, if_found, segment};

impl Engine {
    /// The networks with all of these labels (`key` or `key=value`).
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    pub async fn list_networks(&self, labels: &[&str]) -> Result<Vec<Network>> {
        let options = ListNetworksOptions { filters: Some(filter("label", labels)) };
        self.call(Call::ListNetworks.of(""), self.limits.read, self.docker.list_networks(Some(options))).await
    }

    /// The networks of exactly this name, whoever's they are.
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    pub async fn networks_named(&self, name: &str) -> Result<Vec<Network>> {
        let options = ListNetworksOptions { filters: Some(filter("name", &[name])) };
        let answer = self.docker.list_networks(Some(options));
        let mut networks = self.call(Call::ListNetworks.of(name), self.limits.read, answer).await?;
        // The engine's filter is for parts of names.
        networks.retain(|network| network.name.as_deref() == Some(name));
        Ok(networks)
    }

    /// A network, by id.
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    pub async fn inspect_network(&self, id: &str) -> Result<NetworkInspect> {
        let request = Call::InspectNetwork.of(id);
        let answer = self.docker.inspect_network(segment(&request)?, None);
        self.call(request.clone(), self.limits.read, answer).await
    }

    /// A network by id, if there is one.
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    pub async fn find_network(&self, id: &str) -> Result<Option<NetworkInspect>> {
        if_found(self.inspect_network(id).await)
    }

    /// Creates a network and says its id. Older engines make a second one of the same name.
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    pub async fn create_network(&self, body: NetworkCreateRequest) -> Result<String> {
        let request = Call::CreateNetwork.of(&body.name);
        self.call(request, self.limits.write, self.docker.create_network(body)).await.map(|created| created.id)
    }

    /// Connects a container to a network.
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    pub async fn connect_network(&self, id: &str, container: &str, endpoint: EndpointSettings) -> Result<()> {
        let request = Call::ConnectNetwork.of(id);
        let body = NetworkConnectRequest { container: container.to_owned(), endpoint_config: Some(endpoint) };
        let answer = self.docker.connect_network(segment(&request)?, body);
        self.call(request.clone(), self.limits.write, answer).await
    }

    /// Disconnects a container from a network; nothing happens if one of them is gone.
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    pub async fn disconnect_network(&self, id: &str, container: &str) -> Result<()> {
        let request = Call::DisconnectNetwork.of(id);
        let body = NetworkDisconnectRequest { container: container.to_owned(), force: Some(false) };
        let answer = self.docker.disconnect_network(segment(&request)?, body);
        if_found(self.call(request.clone(), self.limits.write, answer).await).map(drop)
    }

    /// Removes a network; nothing happens if it is gone.
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    pub async fn remove_network(&self, id: &str) -> Result<()> {
        let request = Call::RemoveNetwork.of(id);
        let answer = self.docker.remove_network(segment(&request)?);
        if_found(self.call(request.clone(), self.limits.write, answer).await).map(drop)
    }
}
