//! Which store a URL means.

use std::{
    fs::DirBuilder,
    os::unix::fs::DirBuilderExt,
    path::{Path as Folder, PathBuf},
    sync::Arc,
};

use object_store::{ObjectStore, aws::AmazonS3Builder, local::LocalFileSystem, path::Path};
use reqwest::Url;

use super::Error;

/// A store, and where in it the archives are.
pub(super) struct Place {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) prefix: Path,
    /// The folder, where it is one of this machine.
    pub(super) folder: Option<PathBuf>,
}

pub(super) fn open(url: &str) -> Result<Place, Error> {
    let wrong = |why: String| Error::Address { url: url.to_owned(), why };
    let parsed = Url::parse(url).map_err(|error| wrong(error.to_string()))?;
    match parsed.scheme() {
        "file" => {
            let folder = parsed.to_file_path().map_err(|()| wrong("it names no folder of this machine".to_owned()))?;
            of_folder(folder).map_err(|error| wrong(error.to_string()))
        }
        "s3" => {
            let bucket = parsed.host_str().ok_or_else(|| wrong("it names no bucket".to_owned()))?;
            let store = AmazonS3Builder::from_env().with_bucket_name(bucket).build().map_err(Error::Store)?;
            let prefix = Path::from_url_path(parsed.path()).map_err(|error| wrong(error.to_string()))?;
            Ok(Place { objects: Arc::new(store), prefix, folder: None })
        }
        scheme => Err(wrong(format!("{scheme} is no kind of store that is known"))),
    }
}

pub(super) fn of_folder(folder: PathBuf) -> Result<Place, Box<dyn std::error::Error>> {
    make(&folder)?;
    let store = LocalFileSystem::new_with_prefix(&folder)?.with_automatic_cleanup(true).with_fsync(true);
    Ok(Place { objects: Arc::new(store), prefix: Path::default(), folder: Some(folder) })
}

/// What users uploaded is nobody else's business.
fn make(folder: &Folder) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}
