//! What `docker inspect` says of our containers, networks and volumes is what it says of those that Docker Compose makes of
//! the same project.
//!
//! The projects are the corpus of `tests/compose`, of which is known that we read them as Compose does. What a project wants
//! of the host that is not there (images, paths, networks of others) is replaced or made first.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    path::PathBuf,
    process::Command,
};

use cloudfaster::docker::{
    compose::{
        self,
        model::{BindSource, FileSource, MountKind, Namespace, Project, VolumesFromSource},
        render,
    },
    convert::{self, Given},
    engine::Engine,
    labels,
};
use serde_json::{Map, Value};

use crate::{
    case::{Case, cases},
    support::{Run, command::docker, engine, images},
};

/// What is different on purpose, or cannot be the same; each is undone on both sides.
const ACCEPTED: &[&str] = &[
    "ids, times, addresses, process numbers and paths that the engine gives each thing anew",
    "the image is named by id, and networks by id, since names can come to mean others",
    "Compose's labels of where its files are, of their hash, and of its version; ours beside them",
    "the order of lists that Compose makes from maps",
    "nothing, and a list, a mapping or options with nothing in them",
    "`volumes_from` keeps its access mode, which Compose drops",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_made_of_each_case_of_the_corpus_is_what_docker_compose_makes_of_it() {
    let only = env::var("ORACLE_CASE").ok();
    let engine = engine();
    let api = engine.capacity().await.unwrap().api;
    let (mut compared, mut fields, mut refused, mut differences) = (0, 0, Vec::new(), Vec::new());
    for case in cases().iter().filter(|case| only.as_ref().is_none_or(|only| *only == case.name)) {
        let stage = Stage::set(case);
        let theirs = match stage.compose() {
            Ok(theirs) => theirs,
            Err(reason) => {
                refused.push(format!("{}: {reason}", case.name));
                continue;
            }
        };
        let ours = match stage.ours(&engine, api).await {
            Ok(ours) => ours,
            // The engine would ignore it in silence, as it does for Compose.
            Err(problem) if problem.contains("; the host has API ") => {
                refused.push(problem);
                continue;
            }
            Err(problem) => {
                differences.push(format!("{}: Compose makes it, we do not: {problem}", case.name));
                continue;
            }
        };
        compared += 1;
        fields += theirs.len();
        let paths: BTreeSet<_> = theirs.keys().chain(ours.keys()).collect();
        for path in paths {
            let (theirs, ours) = (theirs.get(path), ours.get(path));
            if theirs != ours {
                differences.push(format!("{}: {path}: Compose {theirs:?}, we {ours:?}", case.name));
            }
        }
    }
    println!("{compared} cases, {fields} fields, {} differences; accepted:", differences.len());
    ACCEPTED.iter().for_each(|reason| println!("  {reason}"));
    println!("{} cases that Compose cannot create here, or that this engine is too old for:", refused.len());
    refused.iter().for_each(|reason| println!("  {reason}"));
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(only.is_some() || compared >= 90, "only {compared} cases can be compared: {refused:#?}");
}

/// A project whose every name is this test's, and what it needs of others.
struct Stage {
    test: Run,
    project: Project,
    image: String,
    image_id: String,
    secrets: BTreeMap<String, String>,
    folder: tempfile::TempDir,
}

impl Stage {
    fn set(case: &Case) -> Self {
        let test = Run::new();
        let image = test.name("image") + ":1";
        images::image(&image);
        let folder = tempfile::tempdir().unwrap();
        let sources = case.sources();
        let files = match case.options.files.as_slice() {
            [] => sources.default_files("."),
            files => files.to_vec(),
        };
        let request = compose::Request {
            sources: &sources,
            files: &files,
            variables: &case.options.variables,
            profiles: &case.options.profiles,
            name: &test.id,
        };
        let project = compose::load(request).unwrap_or_else(|problems| panic!("{}: {problems}", case.name)).project;
        let image_id = images::id(&image);
        let mut stage = Self { test, project, image, image_id, secrets: BTreeMap::new(), folder };
        stage.adapt();
        stage
    }

    /// Puts what this host has in the place of what the case names.
    fn adapt(&mut self) {
        let Self { test, project, image, secrets, folder, .. } = self;
        let path = folder.path().to_str().unwrap().to_owned();
        let own = |name: &str| if name.starts_with(&test.id) { name.to_owned() } else { test.name(name) };
        let disabled = std::mem::take(&mut project.disabled);
        for (key, object) in project.secrets.iter_mut().chain(&mut project.configs) {
            // What is written into the file stays there; a file of Compose's machine would be bound.
            if object.source != FileSource::Inline {
                let name =
                    format!("ORACLE_{}", key.to_uppercase().replace(|letter: char| !letter.is_alphanumeric(), "_"));
                secrets.insert(name.clone(), String::from_utf8_lossy(&object.content).into_owned());
                object.source = FileSource::Environment(name);
            }
        }
        for network in project.networks.values_mut() {
            network.name = own(&network.name);
            // Another driver needs a swarm or a plug-in.
            network.driver = network.driver.take().filter(|driver| matches!(driver.as_str(), "bridge" | "macvlan"));
            if network.driver.is_none() {
                network.driver_opts.clear();
            }
            network.ipam.driver = network.ipam.driver.take().filter(|driver| driver == "default");
            if network.external {
                docker(&["network", "create", &network.name]);
            }
        }
        for volume in project.volumes.values_mut() {
            volume.name = own(&volume.name);
            volume.driver = volume.driver.take().filter(|driver| driver == "local");
            if volume.external {
                docker(&["volume", "create", &volume.name]);
            }
        }
        let mut others = BTreeSet::new();
        for service in project.services.values_mut() {
            service.build = None;
            service.pull_policy = None;
            service.profiles.clear();
            service.platform = None;
            service.runtime = service.runtime.take().map(|_| "runc".to_owned());
            service.image = Some(image.clone());
            service.container_name = service.container_name.as_deref().map(own);
            service.depends_on.retain(|name, _| !disabled.contains(name));
            service.depends_on.values_mut().for_each(|dependency| dependency.required = true);
            for mount in &mut service.volumes {
                match &mut mount.kind {
                    MountKind::Bind { source, .. } => *source = BindSource::Absolute(path.clone()),
                    MountKind::Image { source, .. } => *source = image.clone(),
                    MountKind::Volume { .. } | MountKind::Tmpfs { .. } => {}
                }
            }
            let namespaces = [&mut service.network_mode, &mut service.ipc, &mut service.pid];
            for namespace in namespaces.into_iter().flatten() {
                if let Namespace::Container(name) = namespace {
                    *name = own(name);
                    others.insert(name.clone());
                }
            }
            for entry in &mut service.volumes_from {
                if let VolumesFromSource::Container(name) = &mut entry.source {
                    *name = own(name);
                    others.insert(name.clone());
                }
            }
            for link in &mut service.external_links {
                link.alias.get_or_insert_with(|| link.target.clone());
                link.target = own(&link.target);
                others.insert(link.target.clone());
            }
        }
        for other in others {
            docker(&["run", "--detach", "--name", &other, "--ipc", "shareable", image]);
        }
    }

    /// What Compose makes, which is removed again.
    fn compose(&self) -> Result<BTreeMap<String, Value>, String> {
        let file = self.folder.path().join("compose.json");
        std::fs::write(&file, render(&self.project).to_string()).unwrap();
        let run = |arguments: &[&str]| {
            let program = env::var_os("DOCKER_COMPOSE").map_or_else(|| PathBuf::from("docker-compose"), PathBuf::from);
            let output = Command::new(&program)
                .args(["--project-name", &self.test.id, "--file"])
                .arg(&file)
                .args(arguments)
                .envs(&self.secrets)
                .output()
                .unwrap_or_else(|error| panic!("docker-compose is missing ({}): {error}", program.display()));
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().to_owned();
            if output.status.success() { Ok(()) } else { Err(last) }
        };
        let made = run(&["up", "--no-start", "--pull", "never", "--no-build"]);
        let found = made.map(|()| self.inspect());
        run(&["down", "--volumes", "--timeout", "0"])?;
        found
    }

    /// What we make, which is removed with the test's other things.
    async fn ours(
        &self,
        engine: &Engine,
        api: cloudfaster::docker::engine::ApiVersion,
    ) -> Result<BTreeMap<String, Value>, String> {
        let said = |error: &dyn std::fmt::Display| error.to_string();
        let project = &self.project;
        let used: BTreeSet<_> = project.services.values().flat_map(|service| service.networks.keys()).collect();
        let mut networks = BTreeMap::new();
        for (key, network) in project.networks.iter().filter(|(key, _)| used.contains(key)) {
            let id = if network.external {
                engine.networks_named(&network.name).await.map_err(|error| said(&error))?.remove(0).id.unwrap()
            } else {
                let body = convert::network(project, key).map_err(|error| said(&error))?;
                engine.create_network(body).await.map_err(|error| said(&error))?
            };
            networks.insert(key.clone(), id);
        }
        for key in project.volumes.iter().filter(|(_, volume)| !volume.external).map(|(key, _)| key) {
            let body = convert::volume(project, key).map_err(|error| said(&error))?;
            engine.create_volume(body).await.map_err(|error| said(&error))?;
        }
        let own = self.test.labels("oracle").into_iter().collect();
        let mut shared = BTreeMap::new();
        let mut waiting: Vec<_> = project.services.iter().collect();
        while !waiting.is_empty() {
            let ready =
                |service: &compose::model::Service| service.depends_on.keys().all(|name| shared.contains_key(name));
            let at = waiting.iter().position(|(_, service)| ready(service)).ok_or("a cycle")?;
            let (name, service) = waiting.remove(at);
            let given = Given {
                image: &self.image_id,
                networks: &networks,
                shared: &shared,
                anonymous: &BTreeMap::new(),
                labels: &own,
            };
            let files = convert::files(project, name).map_err(|error| said(&error))?;
            let mut first = None;
            for number in 1..=service.replicas() {
                let made = convert::container(project, name, number, &given, api).map_err(|error| said(&error))?;
                let container = convert::container_name(project, name, number);
                let created = engine.create_container(&container, made.platform.as_deref(), made.body).await;
                let id = created.map_err(|error| said(&error))?.id;
                for (network, endpoint) in made.connect {
                    engine.connect_network(&network, &id, endpoint).await.map_err(|error| said(&error))?;
                }
                if !files.is_empty() {
                    engine.upload(&id, "/", files.to_tar().unwrap()).await.map_err(|error| said(&error))?;
                }
                first.get_or_insert(id);
            }
            shared.insert(name.clone(), first.unwrap_or_default());
        }
        Ok(self.inspect())
    }

    /// Everything of the project that is there, field by field.
    fn inspect(&self) -> BTreeMap<String, Value> {
        let filter = format!("label={}={}", labels::compose::PROJECT, self.test.id);
        let mut all = Vec::new();
        let mut known = vec![(self.image_id.clone(), self.image.clone())];
        for (kind, list) in [
            ("network", docker(&["network", "ls", "--quiet", "--no-trunc", "--filter", &filter])),
            ("volume", docker(&["volume", "ls", "--quiet", "--filter", &filter])),
            ("container", docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter])),
        ] {
            for id in list.lines() {
                let inspected: Value = serde_json::from_str(&docker(&[kind, "inspect", id])).unwrap();
                let name = inspected[0]["Name"].as_str().unwrap().trim_start_matches('/').to_owned();
                known.push((id.to_owned(), name.clone()));
                all.push((kind, name, inspected[0].to_string()));
            }
        }
        known.extend(self.others());
        let mut fields = BTreeMap::new();
        for (kind, name, inspected) in all {
            let inspected = known.iter().fold(inspected, |text, (id, name)| text.replace(id.as_str(), name));
            let mut inspected: Value = serde_json::from_str(&inspected).unwrap();
            match kind {
                "container" => container(&mut inspected),
                "network" => drop_keys(&mut inspected, &["Id", "Created", "Containers"]),
                _ => drop_keys(&mut inspected, &["CreatedAt"]),
            }
            if kind == "network" && self.given_addresses(&name) {
                // The engine chooses them.
                drop_keys(&mut inspected["IPAM"], &["Config"]);
            }
            labelled(&mut inspected);
            flatten(&format!("{kind} {name}"), &inspected, &mut fields);
        }
        fields
    }

    /// Whether a network of the project takes what addresses the engine gives it.
    fn given_addresses(&self, name: &str) -> bool {
        self.project.networks.values().any(|network| network.name == name && network.ipam.config.is_empty())
    }

    /// The networks of others, by id.
    fn others(&self) -> Vec<(String, String)> {
        let list = docker(&[
            "network",
            "ls",
            "--no-trunc",
            "--format",
            "{{.ID}} {{.Name}}",
            "--filter",
            &format!("name={}", self.test.id),
        ]);
        list.lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(id, name)| (id.to_owned(), name.to_owned()))
            .collect()
    }
}

/// Leaves out what is each container's own.
fn container(inspected: &mut Value) {
    drop_keys(
        inspected,
        &[
            "Id",
            "Created",
            "State",
            "ResolvConfPath",
            "HostnamePath",
            "HostsPath",
            "LogPath",
            "GraphDriver",
            "SizeRw",
            "SizeRootFs",
            "Image",
        ],
    );
    let host = inspected["Config"]["Hostname"].as_str().unwrap_or_default().to_owned();
    if host.len() == 12 && host.chars().all(|letter| letter.is_ascii_hexdigit()) {
        drop_keys(&mut inspected["Config"], &["Hostname"]);
    }
    if let Some(networks) = inspected["NetworkSettings"]["Networks"].as_object_mut() {
        for network in networks.values_mut() {
            drop_keys(network, &["NetworkID", "EndpointID"]);
            if let Some(aliases) = network["Aliases"].as_array_mut() {
                // The engine adds the container's short id.
                aliases.retain(|alias| {
                    !alias.as_str().is_some_and(|alias| {
                        alias.len() == 12 && alias.chars().all(|letter| letter.is_ascii_hexdigit())
                    })
                });
            }
        }
    }
    let borrows = inspected["HostConfig"]["VolumesFrom"].is_array();
    for mount in inspected["Mounts"].as_array_mut().into_iter().flatten() {
        let anonymous = mount["Name"].as_str().is_some_and(|name| name.len() == 64);
        drop_keys(mount, if anonymous { &["Name", "Source"] } else { &[] });
        drop_keys(mount, if borrows { &["RW", "Mode"] } else { &[] });
    }
    if let Some(from) = inspected["HostConfig"]["VolumesFrom"].as_array_mut() {
        for entry in from {
            *entry = Value::from(entry.as_str().unwrap().split(':').next().unwrap());
        }
    }
    if let Some(depends) = inspected["Config"]["Labels"].get_mut(labels::compose::DEPENDS_ON) {
        let mut all: Vec<_> = depends.as_str().unwrap().split(',').collect();
        all.sort_unstable();
        *depends = Value::from(all.join(","));
    }
    let labels = &mut inspected["Config"];
    labelled(labels);
}

fn labelled(holder: &mut Value) {
    if let Some(all) = holder.get_mut("Labels").and_then(Value::as_object_mut) {
        let theirs = [
            labels::compose::VERSION,
            labels::compose::WORKING_DIR,
            labels::compose::CONFIG_FILES,
            labels::compose::CONFIG_HASH,
            "com.docker.compose.project.environment_file",
        ];
        all.retain(|key, _| {
            !theirs.contains(&key.as_str()) && !key.starts_with(labels::PREFIX) && !key.starts_with("cloudfaster.test/")
        });
    }
}

fn drop_keys(value: &mut Value, keys: &[&str]) {
    if let Some(map) = value.as_object_mut() {
        map.retain(|key, _| !keys.contains(&key.as_str()));
    }
}

/// Every value by its path; what is empty is left out, and lists are sorted.
fn flatten(path: &str, value: &Value, fields: &mut BTreeMap<String, Value>) {
    match value {
        Value::Null => {}
        Value::Object(map) => flatten_map(path, map, fields),
        Value::Array(list) => {
            let mut list: Vec<_> = list.iter().map(without_nothing).collect();
            list.sort_by_key(ToString::to_string);
            for (index, entry) in list.iter().enumerate() {
                flatten(&format!("{path}[{index}]"), entry, fields);
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            fields.insert(path.to_owned(), value.clone());
        }
    }
}

fn flatten_map(path: &str, map: &Map<String, Value>, fields: &mut BTreeMap<String, Value>) {
    for (key, value) in map {
        flatten(&format!("{path}.{key}"), value, fields);
    }
}

fn without_nothing(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().map(|(key, value)| (key.clone(), without_nothing(value)));
            let mut kept: Vec<_> = kept.filter(|(_, value)| !value.is_null()).collect();
            kept.sort_by(|one, other| one.0.cmp(&other.0));
            if kept.is_empty() { Value::Null } else { Value::Object(kept.into_iter().collect()) }
        }
        other => other.clone(),
    }
}
