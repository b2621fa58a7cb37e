use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use proptest::prelude::*;
use serde_json::Value;

use super::entry::{Kind, all};
use super::*;
use crate::docker::compose::{self, Sources};

const WEB: [&str; 7] = ["Static", "PHP", "Laravel", "Node.js", "React", "Python", "WordPress"];
const DATABASES: [&str; 5] = ["MySQL", "MariaDB", "PostgreSQL", "Redis", "MongoDB"];

fn strings(types: &[&str]) -> Vec<String> {
    types.iter().map(|name| (*name).to_owned()).collect()
}

fn composed(types: &[&str], with_source: bool, filebrowser: bool) -> Result<Composed, Error> {
    let url = Some("https://shop.example.com");
    compose(&Request { types: &strings(types), with_source, filebrowser, image: &|_| None, url })
}

/// What the project makes of it: it must be without problems and without unset variables.
fn read(composed: &Composed) -> Value {
    let variables = composed.credentials.iter().map(|it| (it.variable.clone(), format!("secret-{}", it.variable)));
    let loaded = compose::load(compose::Request {
        sources: &Sources::inline("compose.yaml", &composed.compose),
        files: &["compose.yaml".to_owned()],
        variables: &variables.collect(),
        profiles: &[],
        name: "project",
    });
    let loaded = loaded.unwrap_or_else(|problems| panic!("{problems}\n{}", composed.compose));
    assert!(loaded.warnings.is_empty(), "{:?}\n{}", loaded.warnings, composed.compose);
    compose::render(&loaded.project)
}

/// The service of the main type.
fn main_service(types: &[&str], with_source: bool) -> Value {
    let composed = composed(types, with_source, false).unwrap();
    read(&composed)["services"][&composed.main.as_ref().unwrap().service].clone()
}

#[test]
fn every_type_alone_and_every_two_of_them_are_composed_or_refused_by_reason() {
    let types = || WEB.iter().chain(&DATABASES).copied();
    let combinations = types().map(|one| vec![one]).chain(types().flat_map(|a| types().map(move |b| vec![a, b])));
    let (mut fine, mut refused) = (0, 0);
    for combination in combinations {
        let webs: Vec<&str> = combination.iter().copied().filter(|name| WEB.contains(name)).collect();
        let contained = webs.contains(&"PHP") && (webs.contains(&"Laravel") || webs.contains(&"WordPress"));
        for (with_source, filebrowser) in [(false, false), (true, false), (false, true), (true, true)] {
            let result = composed(&combination, with_source, filebrowser);
            let case = format!("{combination:?}, source: {with_source}, Filebrowser: {filebrowser}: {result:?}");
            let expected = match &result {
                _ if combination.len() == 2 && combination[0] == combination[1] => {
                    matches!(result, Err(Error::Twice(_)))
                }
                _ if webs.len() == 2 && !contained => matches!(result, Err(Error::TwoWebTypes { .. })),
                _ if webs.is_empty() && with_source => matches!(result, Err(Error::UselessSource { .. })),
                _ if webs.is_empty() && filebrowser => matches!(result, Err(Error::UselessFilebrowser { .. })),
                _ if webs.contains(&"React") && !with_source => matches!(result, Err(Error::NeedsSource { .. })),
                _ if webs.contains(&"WordPress")
                    && combination.iter().any(|name| ["PostgreSQL", "MongoDB"].contains(name)) =>
                {
                    matches!(result, Err(Error::Unusable { .. }))
                }
                result => result.is_ok(),
            };
            assert!(expected, "{case}");
            match result {
                Ok(composed) => {
                    fine += 1;
                    check(&composed, with_source, filebrowser);
                }
                Err(error) => {
                    refused += 1;
                    assert!(error.to_string().len() > 40, "{error}");
                }
            }
        }
    }
    assert_eq!((fine, refused), (311, 313));
}

/// What is true of everything that is composed.
fn check(composed: &Composed, with_source: bool, filebrowser: bool) {
    let document = read(composed);
    let services = document["services"].as_object().unwrap();
    let text = &composed.compose;
    assert_eq!(composed.filebrowser.is_some(), filebrowser);
    assert_eq!(composed.main.is_some(), WEB.contains(&composed.primary.as_str()));
    for (name, service) in services {
        assert!(service["image"].as_str().unwrap().contains(':'), "{name} has no version:\n{text}");
        assert_eq!(service["security_opt"], serde_json::json!(["no-new-privileges:true"]));
        let one_shot = service["restart"] == "no";
        assert_eq!(service["healthcheck"]["test"].is_null(), one_shot, "{name}:\n{text}");
        for attribute in
            ["privileged", "cap_add", "devices", "network_mode", "pid", "ports", "labels", "build", "container_name"]
        {
            assert!(service.get(attribute).is_none(), "{name} has {attribute}:\n{text}");
        }
        for mount in service["volumes"].as_array().into_iter().flatten() {
            let source = mount["source"].as_str().unwrap();
            match mount["type"].as_str().unwrap() {
                "bind" => assert!(with_source && source == ".", "{mount}"),
                "volume" => assert!(!with_source || source != CONTENT, "{mount}"),
                other => panic!("{other}"),
            }
        }
    }
    for endpoint in [&composed.main, &composed.filebrowser].into_iter().flatten() {
        assert!(services.contains_key(&endpoint.service), "{endpoint:?}");
    }
    let mut variables: Vec<&String> = composed.credentials.iter().map(|it| &it.variable).collect();
    let count = variables.len();
    variables.sort();
    variables.dedup();
    assert_eq!(variables.len(), count, "{variables:?}");
    for variable in variables {
        assert!(text.contains(&format!("${{{variable}}}")), "{variable} is not used:\n{text}");
    }
}

#[test]
fn names_are_known_as_people_write_them() {
    for (written, expected) in [
        ("static", "Static"),
        ("Php", "PHP"),
        ("laravel", "Laravel"),
        ("Node.js", "Node.js"),
        ("nodejs", "Node.js"),
        ("NODE_JS", "Node.js"),
        ("node-js", "Node.js"),
        ("Node", "Node.js"),
        ("react.js", "React"),
        ("Word Press", "WordPress"),
        ("Mysql", "MySQL"),
        ("my-sql", "MySQL"),
        ("Mariadb", "MariaDB"),
        ("Postgres", "PostgreSQL"),
        ("postgresql", "PostgreSQL"),
        ("Mongo", "MongoDB"),
        ("REDIS", "Redis"),
    ] {
        let composed = composed(&[written], expected == "React", false).unwrap();
        assert_eq!(composed.primary, expected, "{written}");
    }
}

#[test]
fn what_is_not_known_is_told_with_what_is() {
    let known = [&WEB[..], &DATABASES[..]].concat().join(", ");
    for (written, nearest) in [
        ("MySLQ", " (did you mean MySQL?)"),
        ("Laravell", " (did you mean Laravel?)"),
        ("Ruby on Rails", ""),
        ("Filebrowser", ""),
        ("", ""),
    ] {
        let error = composed(&[written], false, false).unwrap_err();
        assert_eq!(error.to_string(), format!("there is no type `{written}`{nearest}: known are {known}"));
    }
    let long = composed(&[&"x\n".repeat(5000)], false, false).unwrap_err().to_string();
    assert!(long.len() < 250 && !long.contains('\n'), "{long}");
    let none = composed(&[], false, false).unwrap_err();
    assert_eq!(none, Error::Nothing { known });
}

#[test]
fn a_type_brings_the_database_that_it_needs_unless_one_is_given() {
    for (types, expected, primary) in [
        (&["Laravel"][..], &["Laravel", "MySQL"][..], "Laravel"),
        (&["PHP", "Laravel"], &["Laravel", "MySQL"], "Laravel"),
        (&["Laravel", "Redis"], &["Laravel", "MySQL", "Redis"], "Laravel"),
        (&["Laravel", "MariaDB"], &["Laravel", "MariaDB"], "Laravel"),
        (&["Postgres", "Laravel"], &["Laravel", "PostgreSQL"], "Laravel"),
        (&["WordPress"], &["WordPress", "MariaDB"], "WordPress"),
        (&["WordPress", "MySQL"], &["WordPress", "MySQL"], "WordPress"),
        (&["PHP"], &["PHP"], "PHP"),
        (&["Redis", "MySQL"], &["MySQL", "Redis"], "MySQL"),
    ] {
        let composed = composed(types, false, false).unwrap();
        assert_eq!((composed.types, composed.primary.as_str()), (strings(expected), primary), "{types:?}");
    }
}

#[test]
fn the_web_type_finds_its_databases_by_its_variables_and_waits_for_them() {
    let service = main_service(&["Node.js", "PostgreSQL", "MySQL", "Redis", "MongoDB"], true);
    let environment = service["environment"].as_object().unwrap();
    for (name, value) in [
        ("DATABASE_URL", "mysql://app:secret-MYSQL_PASSWORD@mysql:3306/app"),
        ("DB_CONNECTION", "mysql"),
        ("DB_HOST", "mysql"),
        ("DB_PORT", "3306"),
        ("DB_DATABASE", "app"),
        ("DB_USERNAME", "app"),
        ("DB_PASSWORD", "secret-MYSQL_PASSWORD"),
        ("MYSQL_HOST", "mysql"),
        ("POSTGRES_URL", "postgresql://app:secret-POSTGRES_PASSWORD@postgres:5432/app"),
        ("POSTGRES_PASSWORD", "secret-POSTGRES_PASSWORD"),
        ("REDIS_URL", "redis://:secret-REDIS_PASSWORD@redis:6379/0"),
        ("MONGODB_URI", "mongodb://app:secret-MONGODB_PASSWORD@mongodb:27017/app"),
        ("PORT", "3000"),
    ] {
        assert_eq!(environment[name], value, "{name}");
    }
    assert!(!environment.keys().any(|name| name.contains("ROOT")), "{environment:?}");
    for database in ["mysql", "postgres", "redis", "mongodb"] {
        assert_eq!(service["depends_on"][database]["condition"], "service_healthy", "{database}");
    }
    let static_site = main_service(&["Static", "MySQL"], true);
    assert!(static_site["environment"].is_null() && static_site["depends_on"].is_null(), "{static_site}");
}

#[test]
fn of_two_databases_that_fit_the_first_of_the_catalogue_counts() {
    let environment = main_service(&["WordPress", "MariaDB", "MySQL"], false)["environment"].clone();
    assert_eq!(environment["WORDPRESS_DB_HOST"], "mysql:3306");
    assert_eq!(environment["WORDPRESS_DB_PASSWORD"], "secret-MYSQL_PASSWORD");
    let environment = main_service(&["Laravel", "PostgreSQL"], true)["environment"].clone();
    assert_eq!((&environment["DB_CONNECTION"], &environment["DB_HOST"]), (&"pgsql".into(), &"postgres".into()));
}

#[test]
fn an_application_knows_its_url() {
    let document = read(&composed(&["Laravel"], true, true).unwrap());
    assert_eq!(document["services"]["web"]["environment"]["APP_URL"], "https://shop.example.com");
}

#[test]
fn the_host_s_own_images_are_taken() {
    let composed = compose(&Request {
        types: &strings(&["Laravel", "Redis"]),
        with_source: true,
        filebrowser: true,
        image: &|key| (key != "redis").then(|| format!("mirror.example.com/{key}:$own")),
        url: None,
    });
    let document = read(&composed.unwrap());
    let images: BTreeMap<&str, &str> = document["services"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, service)| (name.as_str(), service["image"].as_str().unwrap()))
        .collect();
    assert_eq!(images["web"], "mirror.example.com/php:$$own");
    assert_eq!(images["composer"], "mirror.example.com/composer:$$own");
    assert_eq!(images["mysql"], "mirror.example.com/mysql:$$own");
    assert_eq!(images["filebrowser"], "mirror.example.com/filebrowser:$$own");
    assert_eq!(images["redis"], "redis:8-alpine");
}

#[test]
fn secrets_have_a_form_and_filebrowser_s_may_be_one_s_own() {
    let composed = composed(&["Laravel"], true, true).unwrap();
    let credentials: BTreeMap<&str, &Credential> =
        composed.credentials.iter().map(|it| (it.variable.as_str(), it)).collect();
    let names: Vec<&str> = credentials.keys().copied().collect();
    assert_eq!(names, ["APP_KEY", "FILEBROWSER_PASSWORD", "MYSQL_PASSWORD", "MYSQL_ROOT_PASSWORD"]);
    assert_eq!(credentials["APP_KEY"].form, CredentialForm::Base64Key { bytes: 32 });
    assert_eq!(credentials["MYSQL_PASSWORD"].form, CredentialForm::Letters { length: 32 });
    let own = OwnCredential { key: "filebrowser-password".to_owned(), least: 12 };
    assert_eq!(credentials["FILEBROWSER_PASSWORD"].own, Some(own));
    assert!(composed.credentials.iter().filter(|it| it.own.is_some()).count() == 1);
}

#[test]
fn the_entries_agree_with_one_another() {
    let entries = all().unwrap();
    let names: BTreeSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names.len(), 13);
    let of =
        |kind| entries.iter().filter(|entry| entry.kind == kind).map(|entry| entry.name.as_str()).collect::<Vec<_>>();
    assert_eq!((of(Kind::Web), of(Kind::Database)), (WEB.to_vec(), DATABASES.to_vec()));
    let mut images: BTreeMap<&str, &str> = BTreeMap::new();
    for entry in entries {
        let others = entry.includes.iter().chain(&entry.needs).chain(&entry.brings);
        for other in others.chain(entry.refuses.keys()).chain(entry.beside.keys()) {
            assert!(names.contains(other.as_str()), "{} speaks of {other}", entry.name);
        }
        for (key, reference) in &entry.images {
            let earlier = images.insert(key, reference);
            assert!(earlier.is_none_or(|earlier| earlier == reference), "{key} has two references");
        }
    }
}

#[test]
fn every_script_can_be_read_by_a_shell() {
    let folder = tempfile::tempdir().unwrap();
    let scripts = files::FILES.iter().filter(|(name, _)| name.ends_with(".sh"));
    let mut read = 0;
    for (name, text) in scripts {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let output = Command::new("sh").arg("-n").arg(&path).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        read += 1;
    }
    assert_eq!(read, 8);
}

/// A stand-in for the program: it keeps the user's password in a file, and notes how it was called.
const FAKE_FILEBROWSER: &str = r#"#!/bin/sh
echo "$*" >>"$FOLDER/calls"
case "$1 $2" in
"config init") echo database >"$4" ;;
"users find") [ -f "$FOLDER/user" ] ;;
"users update") [ -f "$FOLDER/user" ] && echo "$5" | cut -d= -f2- >"$FOLDER/user" ;;
"users add") [ -z "$FAIL" ] && echo "$8" >"$FOLDER/user" ;;
esac
"#;

#[test]
fn filebrowser_is_never_started_with_another_password_than_the_present_one() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_str().unwrap();
    let program = folder.path().join("filebrowser");
    std::fs::write(&program, FAKE_FILEBROWSER).unwrap();
    assert!(Command::new("chmod").arg("+x").arg(&program).status().unwrap().success());
    let document = read(&composed(&["Static"], true, true).unwrap());
    let entrypoint = &document["services"]["filebrowser"]["entrypoint"];
    let script = entrypoint[2].as_str().unwrap().replace("$$", "$").replace("/database/", &format!("{at}/"));
    let start = |password: &str, fail: &str| {
        let _ = std::fs::remove_file(folder.path().join("calls"));
        let path = format!("{at}:{}", std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command.args(["-euc", &script]).env("PATH", path).env("FOLDER", at).env("FAIL", fail);
        let started = command.env("FILEBROWSER_PASSWORD", password).status().unwrap().success();
        let calls = std::fs::read_to_string(folder.path().join("calls")).unwrap();
        let calls: Vec<&str> = calls.lines().map(|call| call.split("--").next().unwrap_or_default().trim()).collect();
        (started, calls.join(", "), std::fs::read_to_string(folder.path().join("user")).unwrap_or_default())
    };
    // Cut off after the database was made: the next start goes on from there.
    let (started, calls, _) = start("first-password", "yes");
    assert_eq!((started, calls.as_str()), (false, "config init, config set, users find, users add"));
    let (started, calls, user) = start("first-password", "");
    assert_eq!((started, calls.as_str()), (true, "config set, users find, users add, "));
    assert_eq!(user, "first-password\n");
    let (started, calls, user) = start("-other = password", "");
    assert_eq!((started, calls.as_str()), (true, "config set, users find, users update, "));
    assert_eq!(user, "-other = password\n");
}

proptest! {
    /// In whatever order and spelling: the same file, which can be read, or the same reason.
    #[test]
    fn any_subset_gives_the_same_in_any_order(
        chosen in proptest::sample::subsequence([&WEB[..], &DATABASES[..]].concat(), 1..6).prop_shuffle(),
        with_source: bool,
        filebrowser: bool,
    ) {
        let first = composed(&chosen, with_source, filebrowser);
        let others: Vec<String> = chosen.iter().rev().map(|name| name.to_uppercase().replace('.', "_")).collect();
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        prop_assert_eq!(&first, &composed(&others, with_source, filebrowser));
        if let Ok(composed) = first {
            read(&composed);
            prop_assert!(composed.types.len() >= chosen.iter().filter(|name| DATABASES.contains(name)).count());
        }
    }
}
