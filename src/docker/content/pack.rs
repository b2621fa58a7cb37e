//! Content as tar, the form in which it travels to an engine.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use super::{Content, Entry, Placed, spool::Section};

impl Content {
    /// When folders and links in an archive were last changed, in seconds since 1970 (the first of January 2000): whatever the
    /// time, the same content is the same bytes. A file has a time of its own, somewhere in the years after, that follows
    /// from what is in it: web servers tell by time and size whether a browser has the present version.
    pub const STAMP: u64 = 946_684_800;
    /// Twenty years, in seconds.
    const SPAN: u64 = 20 * 365 * 24 * 3600;

    /// When a file was last changed that has this SHA-256: what has another time was not delivered so.
    pub fn time_of(digest: &[u8; 32]) -> u64 {
        let [a, b, c, d, ..] = *digest;
        Self::STAMP + u64::from(u32::from_be_bytes([a, b, c, d])) % Self::SPAN
    }

    /// Writes all entries as tar (with GNU's long names), piece by piece: sorted, owned by root, with times that follow from
    /// what is in it ([`Content::STAMP`]); programs and folders have mode 0755, files 0644. Folders that the content may lack are
    /// added, with those that they are in.
    ///
    /// # Errors
    /// What the writer says, or the spool; `InvalidInput` if an extra folder is no path in the tree or something else is
    /// in its place.
    pub fn write_tar(&self, extra_folders: &[&str], out: impl Write) -> io::Result<()> {
        let extra = self.extra(extra_folders)?;
        let mut entries: BTreeMap<&str, Option<&Placed>> = extra.into_iter().map(|path| (path, None)).collect();
        entries.extend(self.0.entries.iter().map(|(path, placed)| (path.as_str(), Some(placed))));
        let mut tar = tar::Builder::new(Gate { out, closed: false });
        if let Err(error) = self.write_entries(&mut tar, entries) {
            // The library ends the archive when it is dropped, and half of the content would look like all of it.
            tar.get_mut().closed = true;
            return Err(error);
        }
        tar.into_inner()?.flush()
    }

    fn write_entries(
        &self,
        tar: &mut tar::Builder<impl Write>,
        entries: BTreeMap<&str, Option<&Placed>>,
    ) -> io::Result<()> {
        for (path, placed) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_mtime(Self::STAMP);
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(0);
            header.set_mode(0o755);
            match placed.map(|placed| (&placed.entry, placed.offset)) {
                None | Some((Entry::Folder, _)) => {
                    header.set_entry_type(tar::EntryType::Directory);
                    tar.append_data(&mut header, format!("{path}/"), io::empty())?;
                }
                Some((Entry::File { executable, size, digest }, offset)) => {
                    header.set_entry_type(tar::EntryType::Regular);
                    header.set_mtime(Self::time_of(digest));
                    header.set_mode(if *executable { 0o755 } else { 0o644 });
                    header.set_size(*size);
                    tar.append_data(&mut header, path, Section::new(&self.0.spool, offset, *size))?;
                }
                Some((Entry::Link { target }, _)) => {
                    header.set_entry_type(tar::EntryType::Symlink);
                    header.set_mode(0o777);
                    // What the library writes of itself is another, though equal, path.
                    if header.set_link_name_literal(target).is_err() {
                        long_target(tar, target)?;
                    }
                    tar.append_data(&mut header, path, io::empty())?;
                }
            }
        }
        Ok(())
    }

    /// Those folders, and the ones that they are in, which the content lacks.
    fn extra<'a>(&self, folders: &[&'a str]) -> io::Result<Vec<&'a str>> {
        let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidInput, why);
        let mut extra = Vec::new();
        for folder in folders {
            if folder.split('/').any(|part| matches!(part, "" | "." | "..")) {
                return Err(invalid(format!("{folder:?} is no path in the tree")));
            }
            let ends = folder.match_indices('/').map(|(end, _)| end).chain([folder.len()]);
            for path in ends.filter_map(|end| folder.get(..end)) {
                match self.get(path) {
                    None => extra.push(path),
                    Some(Entry::Folder) => {}
                    Some(other @ (Entry::File { .. } | Entry::Link { .. })) => {
                        return Err(invalid(format!("{path:?} is {}, and a folder is needed", other.kind())));
                    }
                }
            }
        }
        Ok(extra)
    }
}

/// Writes the entry that says what the next one, a link, points to.
fn long_target(tar: &mut tar::Builder<impl Write>, target: &str) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongLink);
    header.set_size(target.len() as u64 + 1);
    let content = [target.as_bytes(), b"\0"].concat();
    tar.append_data(&mut header, "@LongLink", content.as_slice())
}

/// Lets bytes through until it is closed.
struct Gate<W> {
    out: W,
    closed: bool,
}

impl<W: Write> Write for Gate<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.closed { Err(io::ErrorKind::BrokenPipe.into()) } else { self.out.write(bytes) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
