//! From compose files to a typed model, as the compose specification and Docker Compose have it.
//!
//! Pure: files come from a set of sources in memory, variables from a map, and nothing else is looked at. In order: parse
//! ([`yaml`]), put variables in ([`interpolate`]), write short forms out ([`canonical`]), include, extend and merge
//! ([`load`]), read ([`decode`]), fill in ([`normalize`]), check ([`check`]). What is not supported is refused by name.

mod budget;
mod canonical;
mod check;
mod decode;
mod dotenv;
mod hidden;
mod interpolate;
mod load;
mod merge;
pub mod model;
mod normalize;
mod path;
mod problem;
mod render;
mod reset;
mod scalar;
mod shell_words;
mod sources;
mod tree;
mod unique;
mod variables;
mod yaml;

use std::cell::RefCell;

pub use interpolate::Variables;
pub use problem::{Problem, Problems};
pub use render::render;
pub use sources::{DEFAULT_FILES, DEFAULT_OVERRIDES, Sources, inside};

use decode::Decoder;
use load::Loader;
use model::{At, Project};
use sources::{Found, folder_of};

/// What a project is read from.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// All files there are.
    pub sources: &'a Sources,
    /// The compose files, by their paths from the root of the sources; later ones are laid over earlier ones. The folder of the
    /// first is the project's.
    pub files: &'a [String],
    /// The variables, over those of `.env` in the project's folder.
    pub variables: &'a Variables,
    /// The active profiles, besides those that the variable `COMPOSE_PROFILES` names.
    pub profiles: &'a [String],
    /// The project's name.
    pub name: &'a str,
}

/// A project and what is to be said of it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The project.
    pub project: Project,
    /// What may not be as it was meant: variables that are not set.
    pub warnings: Vec<Problem>,
}

/// Reads a project. All problems that can be told at once are told at once.
pub fn load(request: Request<'_>) -> Result<Loaded, Problems> {
    let nowhere = At::default();
    let Some(first) = request.files.first() else {
        let remedy = format!("add one, named `{}`", DEFAULT_FILES[0]);
        return Err(Problem::of_file(DEFAULT_FILES[0], "there is no compose file", remedy).into());
    };
    let folder = folder_of(first);
    let mut loader = Loader::new(request.sources);
    let default = inside(folder, ".env").filter(|file| matches!(request.sources.find(file), Found::File(_)));
    let env_files: Vec<String> = default.into_iter().collect();
    let mut variables = loader.with_files(request.variables, &env_files, &nowhere)?;
    variables.insert("COMPOSE_PROJECT_NAME".to_owned(), request.name.to_owned());
    let named = variables.get("COMPOSE_PROFILES").map(String::as_str).unwrap_or_default();
    let named = named.split(',').map(str::trim).filter(|profile| !profile.is_empty()).map(str::to_owned);
    let profiles: Vec<String> = request.profiles.iter().cloned().chain(named).collect();

    let tree = match loader.model(request.files, folder, &variables, &At { file: first.as_str().into(), line: 0 }, &[])
    {
        Ok(tree) => decode::whole(tree),
        Err(problem) => {
            let told = loader.problems.into_iter().chain([problem]).map(|problem| loader.hidden.clear(problem));
            return Err(all(told.collect()));
        }
    };
    let Loader { budget, mut problems, hidden, unset, values, sources: _ } = loader;
    let decoder = Decoder {
        sources: request.sources,
        variables: &variables,
        values: &values,
        budget: RefCell::new(budget),
        complaints: decode::Complaints::default(),
    };
    let mut project = decoder.project(&tree, request.name, &profiles);
    problems.extend(decoder.complaints.into_inner());
    normalize::normalize(&mut project);
    problems.extend(check::check(&project));
    if project.services.is_empty() && project.disabled.is_empty() {
        problems.push(Problem::of_file(first, "there are no services", "add `services:` with at least one"));
    }
    match Problems::of(problems.into_iter().map(|problem| hidden.clear(problem)).collect()) {
        Some(problems) => Err(problems),
        None => Ok(Loaded { project, warnings: unset.into_values().collect() }),
    }
}

fn all(problems: Vec<Problem>) -> Problems {
    Problems::of(problems).unwrap_or_else(|| Problem::of_file("", "nothing could be read", "correct the files").into())
}
