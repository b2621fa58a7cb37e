//! Where in a tree something is, to look rules up.

/// The keys from the root to a value; entries of lists are `[]`.
pub type Path<'a> = [&'a str];

/// Goes one step down.
pub fn descend<'a>(path: &Path<'a>, key: &'a str) -> Vec<&'a str> {
    let mut below = Vec::with_capacity(path.len().saturating_add(1));
    below.extend_from_slice(path);
    below.push(key);
    below
}
