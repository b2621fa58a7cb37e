//! What a client asks for when it wants a service.

use secrecy::SecretString;
use utoipa::ToSchema;

use crate::{
    docker::{
        catalogue::{self, Composed, Error, Request},
        content::fetch::git::GitUrl,
    },
    rest::{
        fault::Fault,
        form::{Fields, Form},
        names,
        problem::Problem,
    },
};

/// The names of the fields, of both generations.
const USERID: [&str; 2] = ["userid", "id_user"];
const NAME: [&str; 2] = ["service_name", "nombre_servicio"];
const TYPES: [&str; 2] = ["service_types", "tipo_servicio"];
/// The names of the file.
pub const FILE: [&str; 2] = ["zip_file", "archivo"];
const GIT: &str = "git_repo_url";
const PASSWORD: &str = "admin_pass";

/// The most characters of what clients give.
const MOST_USERID: usize = 128;
const MOST_NAME: usize = 256;
const MOST_URL: usize = 2048;
const MOST_PASSWORD: usize = 1024;
/// The shortest password that Filebrowser takes.
const LEAST_PASSWORD: usize = 12;
/// What stands in the catalogue and is no type.
const FILEBROWSER: &str = "Filebrowser";

/// A service to be made.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes the form; the fields are read one by one")]
pub struct ServiceForm {
    /// The user whose service it is: a number or a text. Required, here or as `id_user`.
    #[schema(nullable = false, min_length = 1, max_length = 128, example = "7")]
    userid: Option<String>,
    /// Another name of `userid`.
    #[schema(nullable = false, min_length = 1, max_length = 128, example = "7")]
    id_user: Option<String>,
    /// Its name, of which its host name is made. A user has one service of a name. Required, here or as `nombre_servicio`.
    #[schema(nullable = false, min_length = 1, max_length = 256, example = "shop")]
    service_name: Option<String>,
    /// Another name of `service_name`.
    #[schema(nullable = false, min_length = 1, max_length = 256, example = "shop")]
    nombre_servicio: Option<String>,
    /// What it is made of: `Static`, `PHP`, `Laravel`, `Node.js`, `React`, `Python`, `WordPress`, `MySQL`, `MariaDB`, `PostgreSQL`, `Redis`,
    /// `MongoDB`; several, or one text with commas. Required, here or as `tipo_servicio`.
    #[schema(nullable = false, example = json!(["Static"]))]
    service_types: Option<Vec<String>>,
    /// Another name of `service_types`.
    #[schema(nullable = false, example = json!(["Static"]))]
    tipo_servicio: Option<Vec<String>>,
    /// A ZIP archive of its files; in `multipart/form-data` only. Not with `git_repo_url`.
    #[schema(nullable = false, format = Binary)]
    zip_file: Option<String>,
    /// Another name of `zip_file`.
    #[schema(nullable = false, format = Binary)]
    archivo: Option<String>,
    /// The URL of a git repository of its files, whose default branch is deployed and followed.
    #[schema(nullable = false, max_length = 2048, example = "")]
    git_repo_url: Option<String>,
    /// The password of Filebrowser's user `admin`; one is generated if none is given. Databases alone have no Filebrowser.
    #[schema(nullable = false, min_length = 12, max_length = 1024, example = "")]
    admin_pass: Option<String>,
}

/// Where the files of a service come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Files {
    /// From a repository, by its URL.
    Git(String),
    /// From an archive that was uploaded, by its SHA-256.
    Archive(String),
}

/// A service to be made, checked.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The user whose service it is.
    pub userid: String,
    /// Its name.
    pub name: String,
    /// Its types, as the client wrote them.
    pub types: Vec<String>,
    /// Where its files come from.
    pub files: Option<Files>,
    /// Whether it has a Filebrowser.
    pub filebrowser: bool,
    /// The password of Filebrowser's user.
    pub password: Option<SecretString>,
}

impl Wanted {
    /// Reads the form, with the SHA-256 of the file that came with it, and with what else is wrong with the request.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn read(form: &Form, archive: Option<&str>, mut faults: Vec<Fault>) -> Result<Self, Problem> {
        let mut fields = Fields::of(form);
        let userid = fields.required(&USERID, MOST_USERID);
        let name = fields.required(&NAME, MOST_NAME);
        let types = types(&mut fields);
        let has_file = fields.file(&FILE);
        let git = fields.optional(&[GIT], MOST_URL);
        if let Some(url) = git {
            if has_file {
                let why = "give either zip_file or git_repo_url, not both";
                fields.push(Fault::value(("body", GIT), why, url));
            } else if let Err(error) = GitUrl::parse(url, false) {
                fields.push(Fault::value(("body", GIT), &error.to_string(), url));
            }
        }
        let password = fields.secret(PASSWORD, LEAST_PASSWORD..=MOST_PASSWORD);
        let filebrowser = composed(&mut fields, &types, has_file || git.is_some());
        faults.extend(fields.faults());
        match (userid, name) {
            (Some(userid), Some(name)) if faults.is_empty() => Ok(Self {
                userid: userid.to_owned(),
                name: name.to_owned(),
                types,
                files: git.map(|url| Files::Git(url.to_owned())).or(archive.map(|sha| Files::Archive(sha.to_owned()))),
                filebrowser,
                password: password.filter(|_| filebrowser).map(SecretString::from),
            }),
            _ => Err(Problem::Invalid(faults)),
        }
    }

    /// What tells one request from another. Of the password only that there is one: a hash of it would give it away.
    pub fn hash(&self) -> String {
        let Self { userid, name, types, files, filebrowser, password } = self;
        let (kind, files) = match files {
            None => ("none", ""),
            Some(Files::Git(url)) => ("git", url.as_str()),
            Some(Files::Archive(sha256)) => ("archive", sha256.as_str()),
        };
        let password = if password.is_some() { "own" } else { "generated" };
        let filebrowser = if *filebrowser { password } else { "none" };
        let parts = [userid.as_str(), name, kind, files, filebrowser];
        names::hash(&parts.into_iter().chain(types.iter().map(String::as_str)).collect::<Vec<_>>())
    }
}

/// Repeated, or separated by commas.
fn types(fields: &mut Fields<'_>) -> Vec<String> {
    let place = fields.place(&TYPES);
    let given = fields.all(&TYPES);
    if given.is_empty() {
        fields.push(Fault::missing(place));
    }
    let words = given.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

/// Whether there is a Filebrowser beside these types; what is wrong with them is noted.
fn composed(fields: &mut Fields<'_>, types: &[String], with_source: bool) -> bool {
    let place = fields.place(&TYPES);
    if types.is_empty() {
        // What was given may have been commas.
        if !fields.all(&TYPES).is_empty() {
            fields.push(Fault::missing(place));
        }
        return false;
    }
    let problem = match compose(types, with_source, true) {
        Ok(_) => return true,
        Err(Error::UselessFilebrowser { .. }) => match compose(types, with_source, false) {
            Ok(_) => return false,
            Err(problem) => problem,
        },
        Err(problem) => problem,
    };
    let known: Vec<&str> = catalogue::list().unwrap_or_default().iter().map(|listed| listed.name).collect();
    let known: Vec<&str> = known.into_iter().filter(|name| *name != FILEBROWSER).collect();
    fields.push(match &problem {
        Error::Unknown { name, .. } => Fault::not_among(place, &known, name),
        problem => Fault::value(place, &problem.to_string(), &types.join(",")),
    });
    false
}

/// What the catalogue makes of types, whatever images a host has for them.
///
/// # Errors
/// Why they do not go together.
pub fn compose(types: &[String], with_source: bool, filebrowser: bool) -> Result<Composed, Error> {
    catalogue::compose(&Request { types, with_source, filebrowser, image: &|_| None, url: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_but_the_password_itself_tells_one_request_from_another() {
        let wanted = Wanted {
            userid: "7".into(),
            name: "shop".into(),
            types: vec!["PHP".into()],
            files: None,
            filebrowser: true,
            password: Some("a long password".into()),
        };
        let others = [
            Wanted { userid: "8".into(), ..wanted.clone() },
            Wanted { name: "other".into(), ..wanted.clone() },
            Wanted { types: vec!["PHP".into(), "MySQL".into()], ..wanted.clone() },
            Wanted { files: Some(Files::Git("a".into())), ..wanted.clone() },
            Wanted { files: Some(Files::Archive("a".into())), ..wanted.clone() },
            Wanted { filebrowser: false, ..wanted.clone() },
            Wanted { password: None, ..wanted.clone() },
        ];
        for (index, other) in others.iter().enumerate() {
            assert_ne!(other.hash(), wanted.hash(), "{index}");
        }
        assert_eq!(Wanted { password: Some("another password".into()), ..wanted.clone() }.hash(), wanted.hash());
    }
}
