//! Archives of the programs that people use.

use std::{
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::Command,
};

use crate::{listed, read};

/// Makes an archive of the folder `tree`, and prints it.
const WAYS: [(&str, &str, &[&str]); 11] = [
    ("zip", "sh", &["-c", "d=$(mktemp -d) && zip -qry $d/a.zip . && cat $d/a.zip && rm -r $d"]),
    ("zip, stored", "sh", &["-c", "d=$(mktemp -d) && zip -qry0 $d/a.zip . && cat $d/a.zip && rm -r $d"]),
    ("GNU tar", "tar", &["--format=gnu", "-c", "."]),
    ("GNU tar, packed", "tar", &["--format=gnu", "-cz", "."]),
    ("GNU tar, POSIX", "tar", &["--format=posix", "--xattrs", "-c", "."]),
    ("GNU tar, ustar", "tar", &["--format=ustar", "-c", "."]),
    ("GNU tar, large records", "tar", &["-b", "512", "-c", "."]),
    ("bsdtar", "bsdtar", &["-cf", "-", "."]),
    ("bsdtar, POSIX", "bsdtar", &["--format=pax", "-czf", "-", "."]),
    ("bsdtar, zip", "sh", &["-c", "d=$(mktemp -d) && bsdtar --format=zip -cf $d/a . && cat $d/a && rm -r $d"]),
    (
        "Python's tarfile",
        "python3",
        &["-c", "import sys, tarfile; t = tarfile.open(fileobj=sys.stdout.buffer, mode='w|gz'); t.add('.'); t.close()"],
    ),
];

/// Python's zipfile follows links, so its tree has none.
const PYTHON: &str = "import sys, os, zipfile
archive = zipfile.ZipFile(sys.stdout.buffer, 'w', zipfile.ZIP_DEFLATED)
for folder, _, files in os.walk('.'):
    if folder != '.':
        archive.write(folder)
    for name in files:
        archive.write(os.path.join(folder, name))
archive.close()";

fn make(folder: &Path, links: bool) -> Vec<String> {
    let name = "n".repeat(90);
    for part in ["leer", "grün/日本"] {
        std::fs::create_dir_all(folder.join(part)).unwrap();
    }
    let files = [("index.html", "hello"), ("grün/日本/ä.txt", "x"), ("run.sh", "#!/bin/sh"), ("empty", "")];
    for (path, content) in files {
        std::fs::write(folder.join(path), content).unwrap();
    }
    std::fs::create_dir_all(folder.join(&name)).unwrap();
    std::fs::write(folder.join(&name).join(&name), "long").unwrap();
    std::fs::set_permissions(folder.join("run.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let long = format!("{name}/{name} \"long\"");
    let mut expected: Vec<String> =
        ["empty \"\"", "grün/", "grün/日本/", "grün/日本/ä.txt \"x\"", "index.html \"hello\"", "leer/"]
            .map(str::to_owned)
            .into();
    expected.extend([format!("{name}/"), long, "run.sh* \"#!/bin/sh\"".to_owned()]);
    if links {
        symlink("index.html", folder.join("start")).unwrap();
        std::fs::hard_link(folder.join("index.html"), folder.join("twin.html")).unwrap();
        expected.extend(["start -> index.html".to_owned(), "twin.html \"hello\"".to_owned()]);
    }
    expected
}

fn output(program: &str, arguments: &[&str], folder: &Path) -> Option<Vec<u8>> {
    let output = match Command::new(program).args(arguments).current_dir(folder).output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("{program} is not here: left out");
            return None;
        }
        Err(error) => panic!("{program}: {error}"),
    };
    if output.status.code() == Some(127) {
        eprintln!("what {program} is to run is not here: left out");
        return None;
    }
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

#[test]
fn their_archives_are_read_alike() {
    let folder = tempfile::tempdir().unwrap();
    let expected = make(folder.path(), true);
    let mut digests = std::collections::BTreeSet::new();
    for (name, program, arguments) in WAYS {
        let Some(bytes) = output(program, arguments, folder.path()) else { continue };
        let content = read(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(listed(&content), expected, "{name}");
        digests.insert(content.digest().to_owned());
    }
    assert_eq!(digests.len(), 1);
}

/// Makes a repository of the folder elsewhere, and an archive of it in a format.
const GIT: &str = "d=$(mktemp -d) && export GIT_DIR=$d/git GIT_WORK_TREE=. && git init -q && git add -A &&
git -c user.name=a -c user.email=a@example.org commit -qm a && git archive --format=$0 HEAD && rm -r $d";

#[test]
fn archives_of_git_are_read_alike() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = make(folder.path(), true);
    // Git has no empty folders.
    expected.retain(|line| line != "leer/");
    for format in ["zip", "tar", "tar.gz"] {
        let Some(bytes) = output("sh", &["-c", GIT, format], folder.path()) else { continue };
        let content = read(&bytes).unwrap_or_else(|error| panic!("{format}: {error}"));
        assert_eq!(listed(&content), expected, "{format}");
    }
}

#[test]
fn zip_archives_are_read_alike_streamed_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let expected = make(folder.path(), false);
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("a.zip");
    let to_file = PYTHON.replace("sys.stdout.buffer", &format!("{:?}", file.display().to_string()));
    for (program, arguments) in [
        ("python3", ["-c", PYTHON].as_slice()),
        ("python3", &["-c", &to_file]),
        // It cannot stream links.
        ("zip", &["-qr", "-", "."]),
        ("zip", &["-qrX", "-", "."]),
    ] {
        let Some(streamed) = output(program, arguments, folder.path()) else { continue };
        let bytes = if streamed.is_empty() { std::fs::read(&file).unwrap() } else { streamed };
        let content = read(&bytes).unwrap_or_else(|error| panic!("{program} {arguments:?}: {error}"));
        assert_eq!(listed(&content), expected);
    }
}

#[test]
fn what_is_sent_is_unpacked_by_tar() {
    let (folder, unpacked) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let expected = make(folder.path(), true);
    let Some(bytes) = output("tar", &["-c", "."], folder.path()) else { return };
    let mut sent = Vec::new();
    read(&bytes).unwrap().write_tar(&[], &mut sent).unwrap();
    let file = folder.path().join("sent.tar");
    std::fs::write(&file, sent).unwrap();
    output("tar", &["-xf", file.to_str().unwrap()], unpacked.path()).unwrap();
    let again = output("tar", &["-c", "."], unpacked.path()).unwrap();
    assert_eq!(listed(&read(&again).unwrap()), expected);
}
