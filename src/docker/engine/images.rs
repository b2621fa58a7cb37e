//! Images that the engine has.

use bollard::{
    body_full,
    models::{ImageInspect, ImageSummary},
    query_parameters::{CreateImageOptionsBuilder, ListImagesOptions, RemoveImageOptions, TagImageOptions},
};
use bytes::Bytes;

use super::{Call, Engine, Error, Request, Result, filter, if_found};

/// What the empty image is called.
const EMPTY: (&str, &str) = ("cloudfaster.app/empty", "1");
/// A tar archive ends with two blocks of zeros, and an empty one is nothing but its end.
const END_OF_ARCHIVE: usize = 1024;

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

    /// The id of an image without any file, which is made if the engine lacks it: containers that are never started need one.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn empty_image(&self) -> Result<String> {
        let (repository, tag) = EMPTY;
        let reference = format!("{repository}:{tag}");
        if let Some(found) = self.find_image(&reference).await? {
            return Ok(found.id.unwrap_or_default());
        }
        let request = Call::ImportImage.of(&reference);
        let options = CreateImageOptionsBuilder::new().from_src("-").repo(repository).tag(tag).build();
        let nothing = Bytes::from_static(&[0; END_OF_ARCHIVE]);
        let mut told = Box::pin(self.docker.create_image(Some(options), Some(body_full(nothing)), None));
        while self.next(&request, self.limits.write, &mut told).await?.is_some() {}
        Ok(self.inspect_image(&reference).await?.id.unwrap_or_default())
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
