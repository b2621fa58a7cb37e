//! How much content may be.

/// The limits of a tree of files, and of an archive that holds one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all files together. A file that is there twice counts twice.
    pub size: u64,
    /// Bytes of one file.
    pub file_size: u64,
    /// Files, folders and links, folders that are only named in the paths of others included.
    pub entries: u64,
    /// Parts of a path.
    pub depth: u32,
    /// Bytes of a path, or of what a link points to.
    pub path_length: usize,
    /// How many times larger than itself an archive may unpack, once that is more than [`Limits::RATIO_FROM`].
    pub ratio: u64,
}

impl Limits {
    /// How many bytes an archive may unpack to, whatever its own size is.
    pub const RATIO_FROM: u64 = 10 << 20;
}

impl Default for Limits {
    fn default() -> Self {
        Self { size: 1 << 30, file_size: 512 << 20, entries: 100_000, depth: 64, path_length: 1024, ratio: 200 }
    }
}
