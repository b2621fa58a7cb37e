//! Images that the engine has.

use bollard::{
    models::{ImageInspect, ImageSummary},
    query_parameters::{ListImagesOptions, RemoveImageOptions, TagImageOptions},
};

use super::{Call, Engine, Error, Request, Result, filter, if_found};

impl Engine {
    /// The images with a tag that fits one of these patterns (`repository`, `repository:tag`, with `*`).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list_images(&self, patterns: &[&str]) -> Result<Vec<ImageSummary>> {
        let options = ListImagesOptions { filters: Some(filter("reference", patterns)), ..Default::default() };
        self.call(Call::ListImages.of(""), self.limits.read, self.docker.list_images(Some(options))).await
    }

    /// An image, by id or reference.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn inspect_image(&self, image: &str) -> Result<ImageInspect> {
        let request = Call::InspectImage.of(image);
        self.call(request.clone(), self.limits.read, self.docker.inspect_image(path(&request)?)).await
    }

    /// An image by id or reference, if the engine has it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn find_image(&self, image: &str) -> Result<Option<ImageInspect>> {
        if_found(self.inspect_image(image).await)
    }

    /// Gives an image a tag; another image loses it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn tag_image(&self, image: &str, repository: &str, tag: &str) -> Result<()> {
        let request = Call::TagImage.of(image);
        let options = TagImageOptions { repo: Some(repository.to_owned()), tag: Some(tag.to_owned()) };
        self.call(request.clone(), self.limits.write, self.docker.tag_image(path(&request)?, Some(options))).await
    }

    /// Removes a tag, and the image with it if that was the last; nothing happens if it is gone.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn remove_image(&self, image: &str) -> Result<()> {
        let request = Call::RemoveImage.of(image);
        let answer = self.docker.remove_image(path(&request)?, None::<RemoveImageOptions>, None);
        if_found(self.call(request.clone(), self.limits.write, answer).await).map(drop)
    }
}

/// A reference that is to stand in a path.
///
/// # Errors
/// One that would make another path of it.
fn path(request: &Request) -> Result<&str> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "._-:/@".contains(letter);
    let image = request.target.as_str();
    let proper = |part: &str| !part.is_empty() && part != "." && part != "..";
    if !image.chars().all(allowed) || !image.split('/').all(proper) {
        return Err(Error::Invalid(format!("{image:?} is no reference to an image (to {})", request.call.words())));
    }
    Ok(image)
}
