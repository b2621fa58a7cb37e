//! What is wrong with files is told with file, line, attribute and remedy, several things at once.

use cloudfaster::docker::compose::{Loaded, Problems, Request, Sources, Variables, load};

/// Files by name, divided as in `--- name`.
fn sources(text: &str) -> Sources {
    let files = text.split("=== ").skip(1).map(|file| file.split_once('\n').expect("a name and a text"));
    files.map(|(name, text)| (name.trim().to_owned(), text.to_owned().into())).collect()
}

fn read(sources: &Sources, variables: &[(&str, &str)]) -> Result<Loaded, Problems> {
    let variables: Variables =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let files = sources.default_files(".");
    load(Request { sources, files: &files, variables: &variables, profiles: &[], name: "project" })
}

fn told(text: &str) -> String {
    let text = if text.starts_with("=== ") { text.to_owned() } else { format!("=== compose.yaml\n{text}") };
    read(&sources(&text), &[("SECRET", "hunter2")]).map(|_| ()).expect_err(&text).to_string()
}

#[test]
fn each_mistake_is_told_where_it_stands() {
    let cases = [
        ("services:\n  web:\n    image: [nginx]\n", "compose.yaml:3: services.web.image: this must be text"),
        (
            "services:\n  web:\n    image: nginx\n    imagine: x\n",
            "compose.yaml:4: services.web.imagine: the attribute `imagine` is unknown",
        ),
        ("services:\n  web:\n    image: nginx\n    comand: x\n", "write `command` if that is meant"),
        ("services:\n  web:\n    image: nginx\n    privileged: perhaps\n", "must be `true` or `false`, not `perhaps`"),
        ("services:\n  web:\n    image: nginx\n    mem_limit: much\n", "services.web.mem_limit: this must be a size"),
        ("services:\n  web:\n    image: nginx\n    stop_grace_period: 10\n", "must be a duration"),
        (
            "services:\n  web:\n    image: nginx\n    ports:\n      - 80:80:80:80\n",
            "compose.yaml:5: services.web.ports.0",
        ),
        ("services:\n  web:\n    image: nginx\n    ports: [\"70000:80\"]\n", "the port of the host is none"),
        ("services:\n  web:\n    image: nginx\n    ports: [\"1-3:5-6\"]\n", "differ in length"),
        ("services:\n  web:\n    image: nginx\n    ports: [\"localhost:80:80\"]\n", "the address of the host is none"),
        ("services:\n  web:\n    image: nginx\n    ports: [\"80/icmp\"]\n", "the protocol must be"),
        ("services:\n  web:\n    image: nginx\n    volumes: [\"a:/b:c:d\"]\n", "too many colons"),
        ("services:\n  web:\n    image: nginx\n    volumes: [\"./a:/b:secret\"]\n", "the option `secret` is unknown"),
        ("services:\n  web:\n    image: nginx\n    volumes: [\"data:/data\"]\n", "the volume `data` is not defined"),
        ("services:\n  web:\n    image: nginx\n    volumes: [\"../x:/data\"]\n", "leads out of the project's files"),
        ("services:\n  web:\n    image: nginx\n    volumes: [\"~/x:/data\"]\n", "is in a home folder"),
        (
            "services:\n  web:\n    image: nginx\n    volumes: [{type: npipe, target: /x}]\n",
            "mounts of the type `npipe` are not supported",
        ),
        ("services:\n  web:\n    image: nginx\n    volumes: [/x]\n    tmpfs: /x\n", "`/x` is mounted twice"),
        ("services:\n  web:\n    image: nginx\n    networks: [front]\n", "the network `front` is not defined"),
        (
            "services:\n  web:\n    image: nginx\n    network_mode: host\n    networks: [a]\nnetworks: {a: }\n",
            "exclude one another",
        ),
        ("services:\n  web:\n    image: nginx\n    secrets: [s]\n", "the secret `s` is not defined"),
        ("services:\n  web:\n    image: nginx\n    configs: [c]\n", "the config `c` is not defined"),
        ("services:\n  web:\n    image: nginx\n    depends_on: [db]\n", "the service `db` is not defined"),
        (
            "services:\n  web: {image: nginx, depends_on: [db]}\n  db: {image: db, profiles: [p]}\n",
            "is in no active profile",
        ),
        ("services:\n  web:\n    image: nginx\n    network_mode: service:db\n", "the service `db` is not defined"),
        (
            "services:\n  a: {image: a, depends_on: [b]}\n  b: {image: b, links: [c]}\n  c: {image: c, network_mode: \"service:a\"}\n",
            "services depend on one another: `a` → `b` → `c` → `a`",
        ),
        ("services:\n  a: {image: a, depends_on: [a]}\n", "services depend on one another: `a` → `a`"),
        ("services:\n  web: {}\n", "has neither `image` nor `build`"),
        ("services:\n  web: {image: a, scale: 2, deploy: {replicas: 3}}\n", "`scale` and `deploy.replicas` differ"),
        ("services:\n  web: {image: a, container_name: web, scale: 2}\n", "can have one container only"),
        (
            "services:\n  a: {image: a, container_name: web}\n  b: {image: a, container_name: web}\n",
            "the service `a` has the container name `web` too",
        ),
        (
            "services:\n  web: {image: a, mem_limit: 1g, deploy: {resources: {limits: {memory: 2g}}}}\n",
            "`mem_limit` and `deploy.resources.limits.memory` differ",
        ),
        ("services:\n  web: {image: a, healthcheck: {test: [curl, x]}}\n", "a test must start with `CMD`"),
        ("services:\n  web: {image: a, command: \"a && b\"}\n", "it needs a shell"),
        ("services:\n  web: {image: a, pull_policy: sometimes}\n", "services.web.pull_policy"),
        ("services:\n  web: {image: a, restart: maybe}\n", "services.web.restart"),
        ("services:\n  web: {image: a, oom_score_adj: 5000}\n", "from -1000 to 1000"),
        ("services:\n  web: {image: a, environment: [\"A =b\"]}\n", "ends with a space"),
        ("services:\n  web: {image: a, env_file: missing.env}\n", "there is no file `missing.env`"),
        ("services:\n  web: {image: a, env_file: ../outside.env}\n", "leads out of the project's files"),
        ("services:\n  web: {image: a, env_file: /etc/passwd}\n", "leads out of the project's files"),
        ("services:\n  web: {build: /etc}\n", "leads out of the project's files"),
        ("services:\n  we b: {image: a}\n", "this is no valid name"),
        (
            "services:\n  web: {image: a, configs: [c]}\nconfigs: {c: {file: none.conf}}\n",
            "there is no file `none.conf`",
        ),
        ("services:\n  web: {image: a, configs: [c]}\nconfigs: {c: {file: a, content: b}}\n", "exactly one of"),
        (
            "services:\n  web: {image: a, secrets: [s]}\nsecrets: {s: {environment: NONE}}\n",
            "the variable `NONE` is not set",
        ),
        (
            "services:\n  web: {image: a, volumes: [\"d:/d\"]}\nvolumes: {d: {external: true, driver: local}}\n",
            "an external volume can have no attribute but `name`",
        ),
        (
            "services:\n  web: {image: a, volumes: [\"d:/d\"]}\nvolumes: {d: {driver: local, driver_opts: {type: none, o: bind, device: ./x}}}\n",
            "must be an absolute path",
        ),
        (
            "services:\n  web:\n    image: ${NEEDED:?say which ${SECRET}}\n",
            "compose.yaml:3: services.web.image: the variable `NEEDED` must have a value: say which ${SECRET}",
        ),
        ("services:\n  web:\n    image: ${BAD\n", "`${BAD` is no form of a variable"),
        ("include: [none.yaml]\nservices: {web: {image: a}}\n", "compose.yaml:1: there is no file `none.yaml`"),
        ("include: [https://example.org/a.yaml]\nservices: {web: {image: a}}\n", "is not a file of the project"),
        ("include: [../a.yaml]\nservices: {web: {image: a}}\n", "leads out of the project's files"),
        (
            "=== compose.yaml\ninclude: [a.yaml]\nservices: {web: {image: a}}\n=== a.yaml\nservice: {x: {image: y}}\n",
            "a.yaml:1: service: the attribute `service` is unknown: write `services`",
        ),
        (
            "=== compose.yaml\ninclude: [a.yaml]\n=== a.yaml\ninclude: [compose.yaml]\n",
            "`compose.yaml` includes itself",
        ),
        ("services:\n  a: {extends: b}\n  b: {extends: a}\n", "services extend one another"),
        ("services:\n  a: {extends: none}\n", "there is no service `none` in `compose.yaml`"),
        ("services:\n  a: {extends: {file: b.yaml, service: x}}\n", "there is no file `b.yaml`"),
        (
            "=== compose.yaml\nservices:\n  a: {extends: {file: b.yaml, service: x}}\n=== b.yaml\nservices: {x: {extends: {file: compose.yaml, service: a}}}\n",
            "services extend one another",
        ),
        ("services:\n  web:\n    image: a\n   bad: indent\n", "compose.yaml:4: this is not YAML"),
        ("services:\n  web: {image: a, image: b}\n", "`image` is given twice"),
        ("services:\n  1: {image: a}\n", "a key must be text"),
        ("services: !custom {web: {image: a}}\n", "the tag `!custom` means nothing here"),
        ("services:\n  web: {image: a, ports: [!reset 80]}\n", "no effect on an entry of a list"),
        ("services:\n  web: &a {image: a, labels: *a}\n", "an alias stands inside of what it refers to"),
        ("- a\n", "the file must be a mapping"),
        ("networks: {}\n", "there are no services"),
        (
            "=== compose.yaml\nservices: {web: {image: a, ports: [80]}}\n=== compose.override.yaml\nservices: {web: {ports: {a: b}}}\n",
            "cannot be laid over what an earlier file says",
        ),
        ("=== other.txt\n", "there is no compose file"),
        (
            "=== compose.yaml\nservices: {web: {image: a, env_file: a.env}}\n=== a.env\nA=b\nB='c\n",
            "a.env:2: a quote is not closed",
        ),
        (
            "=== compose.yaml\nservices: {web: {image: a}}\n=== .env\nA B=c\n",
            ".env:1: the name of a variable holds a space",
        ),
    ];
    for (text, expected) in cases {
        let told = told(text);
        assert!(told.contains(expected), "{text}\nexpected {expected:?} in\n{told}");
    }
}

#[test]
fn several_mistakes_are_told_at_once_in_the_order_of_their_lines() {
    let told = told(
        "services:\n  web:\n    imagine: x\n    scale: many\n    volumes: [data:/data]\n  db: {image: $}\nnetworks: {a: {driver: [x]}}\n",
    );
    let lines: Vec<&str> = told.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(
        lines,
        ["compose.yaml:2", "compose.yaml:3", "compose.yaml:4", "compose.yaml:5", "compose.yaml:7"],
        "{told}"
    );
}

#[test]
fn the_values_of_variables_are_never_told() {
    let attributes = [
        "ports: [\"${SECRET}:80\"]",
        "volumes: [\"a:b:c:${SECRET}\"]",
        "volumes: [\"./a:/b:${SECRET}\"]",
        "volumes: [\"../${SECRET}:/b\"]",
        "env_file: ../${SECRET}",
        "mem_limit: ${SECRET}",
        "scale: ${SECRET}",
        "restart: ${SECRET}",
        "privileged: ${SECRET}",
        "container_name: \"-${SECRET}\"",
        "healthcheck: {interval: \"${SECRET}\", test: [\"${SECRET}\"]}",
        "command: \"${SECRET} && x\"",
        "devices: [\"a:b:c:${SECRET}\"]",
        "extra_hosts: [\"${SECRET}\"]",
        "expose: [\"${SECRET}\"]",
        "pull_policy: ${SECRET}",
        "volumes_from: [\"container:${SECRET}:x\"]",
        "tmpfs: ${SECRET}",
        "networks: {default: {ipv4_address: \"${SECRET}\"}}",
        "networks: [\"${SECRET}\"]",
        "depends_on: [\"${SECRET}\"]",
        "links: [\"${SECRET}:alias\"]",
        "volumes: [\"${SECRET}:/data\"]",
        "volumes: [\"/x:/${SECRET}/y\"]\n    tmpfs: \"/${SECRET}/y\"",
        "secrets: [\"${SECRET}\"]",
        "configs: [{source: \"my-${SECRET}\"}]",
        "env_file: env/${SECRET}.env",
        "label_file: ${SECRET}",
        "extends: ${SECRET}",
        "extends: {file: \"${SECRET}.yaml\", service: a}",
        "network_mode: \"service:${SECRET}\"",
        "container_name: \"${SECRET}\"\n  db: {image: a, container_name: \"${SECRET}\"}",
        "user: b\ninclude: [\"sub/${SECRET}.yaml\"]\nx-a:\n  b: c",
    ];
    for attribute in attributes {
        let told = told(&format!("services:\n  web:\n    image: a\n    {attribute}\n"));
        assert!(!told.contains("hunter2"), "{attribute}: {told}");
    }
}

#[test]
fn a_variable_that_is_not_set_is_a_warning() {
    let sources = sources("=== compose.yaml\nservices:\n  web:\n    image: nginx$TAG\n    labels: {a: $TAG}\n");
    let loaded = read(&sources, &[]).expect("valid");
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].starts_with("compose.yaml:3: services.web.image: the variable `TAG` is not set"),
        "{warnings:?}"
    );
}

#[test]
fn attributes_keep_their_positions_through_includes_and_anchors() {
    let sources = sources(
        "=== compose.yaml\ninclude: [sub/a.yaml]\nservices:\n  a:\n    cap_add:\n      - SYS_ADMIN\n=== sub/a.yaml\nx-x: &x\n  privileged: true\nservices:\n  a:\n    <<: *x\n    image: a\n    ports:\n      - \"1-2\"\n",
    );
    let project = read(&sources, &[]).expect("valid").project;
    let service = &project.services["a"];
    assert_eq!(service.at.of("cap_add.0").to_string(), "compose.yaml:5");
    assert_eq!(service.at.of("privileged").to_string(), "sub/a.yaml:2");
    assert_eq!(service.ports[1].at.to_string(), "sub/a.yaml:8");
    assert_eq!(service.ports.len(), 2);
}
