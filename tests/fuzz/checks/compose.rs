//! What has to hold of the reading of compose files, whatever is in them.

use cloudfaster::docker::compose::{Request, Sources, Variables, load, render};

/// The files that there are, in the order in which the bytes hold them, with zeros in between.
const FILES: [&str; 4] = ["compose.yaml", "other.yaml", ".env", "web.env"];

/// Reads a project: it ends with a model that can be written out, or with problems that a person can do something about.
pub fn compose(bytes: &[u8]) {
    let parts = bytes.splitn(FILES.len(), |byte| *byte == 0);
    let named = FILES.iter().zip(parts);
    let sources: Sources = named.map(|(name, part)| ((*name).to_owned(), part.to_vec().into())).collect();
    let (files, variables) = (["compose.yaml".to_owned()], Variables::new());
    let request = Request { sources: &sources, files: &files, variables: &variables, profiles: &[], name: "project" };
    match load(request) {
        Ok(loaded) => {
            render(&loaded.project);
        }
        Err(problems) => {
            assert!(problems.iter().all(|problem| !problem.message.is_empty() && !problem.remedy.is_empty()));
        }
    }
}
