//! Images that are made on the spot: a statically linked busybox and a few files.

use std::{env, fs, path::PathBuf};

use super::command::{docker, docker_with};

/// The commands that the images have.
const COMMANDS: &[&str] = &[
    "sh",
    "cat",
    "chmod",
    "chown",
    "cp",
    "date",
    "echo",
    "env",
    "false",
    "grep",
    "head",
    "hostname",
    "httpd",
    "id",
    "ip",
    "kill",
    "ln",
    "ls",
    "mkdir",
    "mv",
    "nc",
    "nslookup",
    "printf",
    "ps",
    "rm",
    "sed",
    "sha256sum",
    "sleep",
    "stat",
    "tail",
    "test",
    "touch",
    "true",
    "wget",
];

fn busybox() -> Vec<u8> {
    let named = env::var_os("BUSYBOX").map(PathBuf::from);
    let places = named.into_iter().chain(["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from));
    let found = places.into_iter().find_map(|place| fs::read(place).ok());
    found.expect("busybox is missing: install busybox-static, or name a statically linked one by BUSYBOX")
}

/// Makes an image of this name; changes are as `docker import --change` has them, files have their content; scripts
/// can be run.
pub fn image_with(reference: &str, changes: &[&str], files: &[(&str, &str)]) {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |path: &str, kind: tar::EntryType, mode: u32, content: &[u8], link: Option<&str>| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        match link {
            Some(target) => tar.append_link(&mut header, path, target).unwrap(),
            None => tar.append_data(&mut header, path, content).unwrap(),
        }
    };
    for (folder, mode) in [("bin/", 0o755), ("etc/", 0o755), ("root/", 0o700), ("srv/", 0o755), ("tmp/", 0o1777)] {
        add(folder, tar::EntryType::Directory, mode, &[], None);
    }
    add("bin/busybox", tar::EntryType::Regular, 0o755, &busybox(), None);
    for command in COMMANDS {
        add(&format!("bin/{command}"), tar::EntryType::Symlink, 0o777, &[], Some("busybox"));
    }
    let users = "root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/srv:/bin/sh\napp:x:1000:1000::/srv:/bin/sh\n";
    add("etc/passwd", tar::EntryType::Regular, 0o644, users.as_bytes(), None);
    add("etc/group", tar::EntryType::Regular, 0o644, b"root:x:0:\nwww-data:x:33:\napp:x:1000:\n", None);
    for (path, content) in files {
        let mode = if content.starts_with("#!") { 0o755 } else { 0o644 };
        add(path, tar::EntryType::Regular, mode, content.as_bytes(), None);
    }
    let mut arguments = vec!["import"];
    for change in changes {
        arguments.extend(["--change", change]);
    }
    arguments.extend(["-", reference]);
    docker_with(&arguments, &tar.into_inner().unwrap());
}

/// Makes an image of this name whose containers sleep unless they are given something else to do.
pub fn image(reference: &str) {
    image_with(reference, &[r#"CMD ["sleep", "1000000"]"#], &[]);
}

/// The id of an image.
pub fn id(reference: &str) -> String {
    docker(&["image", "inspect", "--format", "{{.Id}}", reference])
}
