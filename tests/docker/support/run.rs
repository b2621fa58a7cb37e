//! What one test has on the engine: everything has its prefix, and is removed when the test ends, however it ends.

use std::collections::HashMap;

use cloudfaster::docker::labels;

use super::command::try_docker;

/// The label by which a test's things are found, beside those of the program.
const MINE: &str = "cloudfaster.test/run";

/// One test's part of the engine.
pub struct Run {
    /// Begins the names of all that the test makes, and is its installation.
    pub id: String,
}

impl Run {
    pub fn new() -> Self {
        Self { id: format!("cft{}", &uuid::Uuid::new_v4().simple().to_string()[..10]) }
    }

    /// A name of this test's.
    pub fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.id)
    }

    /// The labels of an object's things, as the program sets them.
    pub fn labels(&self, object: &str) -> HashMap<String, String> {
        [
            (MINE, self.id.as_str()),
            (labels::INSTALLATION, &self.id),
            (labels::NAMESPACE, "tests"),
            (labels::NAME, object),
            (labels::UID, &format!("uid-{object}")),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }

    /// Labels that are not the program's.
    pub fn foreign_labels(&self) -> HashMap<String, String> {
        HashMap::from([(MINE.to_owned(), self.id.clone())])
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let list = |arguments: &[&str]| -> Vec<String> {
            let printed = try_docker(arguments, &[]).stdout;
            String::from_utf8_lossy(&printed).split_whitespace().map(str::to_owned).collect()
        };
        let remove = |command: &[&str], what: Vec<String>| {
            if !what.is_empty() {
                let arguments: Vec<_> = command.iter().copied().chain(what.iter().map(String::as_str)).collect();
                try_docker(&arguments, &[]);
            }
        };
        let id = self.id.as_str();
        for filter in
            [format!("name={id}"), format!("label={MINE}={id}"), format!("label={}={id}", labels::INSTALLATION)]
        {
            remove(&["rm", "--force", "--volumes"], list(&["ps", "--all", "--quiet", "--filter", &filter]));
        }
        remove(&["network", "rm"], list(&["network", "ls", "--quiet", "--filter", &format!("name={id}")]));
        remove(&["volume", "rm", "--force"], list(&["volume", "ls", "--quiet", "--filter", &format!("name={id}")]));
        let images = list(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
        remove(&["rmi", "--force"], images.into_iter().filter(|image| image.contains(id)).collect());
    }
}
