//! `cloudfaster compose`: what the operator makes of compose files, without a cluster and without a host.

use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::compose::{Request, Sources, Variables, load, render};

/// What is looked at.
#[derive(clap::Args)]
pub struct Args {
    /// The project's files.
    #[arg(default_value = ".", value_name = "FOLDER")]
    folder: PathBuf,
    /// A compose file, by its path inside of the folder; several are laid over one another. Without it the usual names.
    #[arg(long, short = 'f', value_name = "PATH")]
    file: Vec<String>,
    /// A variable. The environment of this process is not looked at.
    #[arg(long = "env", short = 'e', value_name = "NAME=VALUE", value_parser = variable)]
    variables: Vec<(String, String)>,
    /// A profile that is active.
    #[arg(long, value_name = "NAME")]
    profile: Vec<String>,
    /// The project's name.
    #[arg(long, short = 'p', value_name = "NAME", default_value = "project")]
    project_name: String,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How many files a folder may have.
const MAX_FILES: usize = 20_000;
/// What is read of a file: more than a file may have, so that this is told.
const MAX_READ: u64 = 1024 * 1024 + 1;

/// Prints the project as JSON, in the form of `docker compose config`; warnings go to standard error.
pub fn run(args: Args) -> Result<(), Failure> {
    let Args { folder, file, variables, profile, project_name } = args;
    let sources = read(&folder)?;
    let files = if file.is_empty() { sources.default_files(".") } else { file };
    let variables: Variables = variables.into_iter().collect();
    let request =
        Request { sources: &sources, files: &files, variables: &variables, profiles: &profile, name: &project_name };
    let loaded = load(request)?;
    loaded.warnings.iter().for_each(|warning| eprintln!("{warning}"));
    println!("{}", serde_json::to_string_pretty(&render(&loaded.project))?);
    Ok(())
}

/// All files below a folder, but for those of git and what links lead to.
fn read(root: &Path) -> Result<Sources, Failure> {
    let mut sources = Sources::default();
    let (mut folders, mut count) = (vec![(root.to_owned(), String::new())], 0_usize);
    while let Some((folder, prefix)) = folders.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let kind = entry.file_type()?;
            if kind.is_dir() && name != ".git" {
                folders.push((entry.path(), format!("{prefix}{name}/")));
            } else if kind.is_file() {
                count = count.saturating_add(1);
                if count > MAX_FILES {
                    return Err(
                        format!("{} has more than {MAX_FILES} files: name a smaller folder", root.display()).into()
                    );
                }
                let mut content = Vec::new();
                std::fs::File::open(entry.path())?.take(MAX_READ).read_to_end(&mut content)?;
                sources.insert(format!("{prefix}{name}"), Bytes::from(content));
            }
        }
    }
    Ok(sources)
}
