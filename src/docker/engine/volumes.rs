//! Volumes, whose name is their id.

use bollard::{
    models::{Volume, VolumeCreateRequest},
    query_parameters::{ListVolumesOptions, RemoveVolumeOptions},
};

use super::{Call, Engine, Result, filter, if_found, segment};

impl Engine {
    /// The volumes with all of these labels (`key` or `key=value`).
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    pub async fn list_volumes(&self, labels: &[&str]) -> Result<Vec<Volume>> {
        let options = ListVolumesOptions { filters: Some(filter("label", labels)) };
        let answer = self.docker.list_volumes(Some(options));
        let list = self.call(Call::ListVolumes.of(""), self.limits.read, answer).await?;
        Ok(list.volumes.unwrap_or_default())
    }

    /// A volume.
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    pub async fn inspect_volume(&self, name: &str) -> Result<Volume> {
        let request = Call::InspectVolume.of(name);
        self.call(request.clone(), self.limits.read, self.docker.inspect_volume(segment(&request)?)).await
    }

    /// A volume, if there is one.
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    pub async fn find_volume(&self, name: &str) -> Result<Option<Volume>> {
        if_found(self.inspect_volume(name).await)
    }

    /// Creates a volume, or says which one has this name already: whoever asked has to look whose it is.
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    pub async fn create_volume(&self, body: VolumeCreateRequest) -> Result<Volume> {
        let name = body.name.clone().unwrap_or_default();
        self.call(Call::CreateVolume.of(name), self.limits.write, self.docker.create_volume(body)).await
    }

    /// Removes a volume and what is in it; nothing happens if it is gone.
    ///
    /// # Errors
    /// See [`Error`](super::Error).
    pub async fn remove_volume(&self, name: &str) -> Result<()> {
        let request = Call::RemoveVolume.of(name);
        let answer = self.docker.remove_volume(segment(&request)?, None::<RemoveVolumeOptions>);
        if_found(self.call(request.clone(), self.limits.write, answer).await).map(drop)
    }
}
