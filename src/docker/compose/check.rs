//! What is wrong only when everything is seen together: references, contradictions, and cycles.

use std::collections::{BTreeMap, BTreeSet};

use super::interpolate::join;
use super::model::{At, MountKind, Project, Service};
use super::normalize::built_from;
use super::problem::Problem;

/// Tells of everything that does not fit together.
pub fn check(project: &Project) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, service) in &project.services {
        let mut service = Check { project, path: join("services", name), service, problems: &mut problems };
        service.image();
        service.references();
        service.dependencies();
        service.contradictions();
        service.targets();
    }
    container_names(project, &mut problems);
    externals(project, &mut problems);
    cycles(project, &mut problems);
    problems
}

struct Check<'a> {
    project: &'a Project,
    path: String,
    service: &'a Service,
    problems: &'a mut Vec<Problem>,
}

impl Check<'_> {
    fn tell(&mut self, at: &At, attribute: &str, message: impl Into<String>, remedy: impl Into<String>) {
        let path = if attribute.is_empty() { self.path.clone() } else { join(&self.path, attribute) };
        self.problems.push(Problem::new(at, path, message, remedy));
    }

    fn tell_attribute(&mut self, attribute: &str, message: impl Into<String>, remedy: impl Into<String>) {
        let at = self.service.at.of(attribute).clone();
        self.tell(&at, attribute, message, remedy);
    }

    fn image(&mut self) {
        let Service { image, build, platform, .. } = self.service;
        if image.is_none() && build.is_none() {
            self.tell_attribute("", "the service has neither `image` nor `build`", "give one of them");
        }
        if let (Some(build), Some(platform)) = (build, platform)
            && !build.platforms.is_empty()
            && !build.platforms.contains(platform)
        {
            self.tell_attribute("build.platforms", "`platform` is not among `build.platforms`", "add it");
        }
        for (context, target) in built_from(self.service) {
            if self.project.services.get(target).is_none_or(|service| service.build.is_none()) {
                let message = format!("the context `{context}` is a service `{target}`, which does not build");
                self.tell_attribute("build.additional_contexts", message, "name a service with `build`");
            }
        }
    }

    fn references(&mut self) {
        let service = self.service;
        for (name, attachment) in &service.networks {
            if !self.project.networks.contains_key(name) {
                let message = format!("the network `{name}` is not defined");
                self.tell(&attachment.at, &join("networks", name), message, "add it to `networks` of the file");
            }
        }
        for mount in &service.volumes {
            if let MountKind::Volume { source: Some(name), .. } = &mount.kind
                && !self.project.volumes.contains_key(name)
            {
                let message = format!("the volume `{name}` is not defined");
                self.tell(
                    &mount.at,
                    "volumes",
                    message,
                    "add it to `volumes` of the file, or write `./` before a path",
                );
            }
        }
        let build_secrets = service.build.iter().flat_map(|build| &build.secrets);
        let secrets = service.secrets.iter().map(|grant| ("secrets", grant));
        for (attribute, grant) in secrets.chain(build_secrets.map(|grant| ("build.secrets", grant))) {
            if !self.project.secrets.contains_key(&grant.source) {
                let message = format!("the secret `{}` is not defined", grant.source);
                self.tell(&grant.at, attribute, message, "add it to `secrets` of the file");
            }
        }
        for grant in &service.configs {
            if !self.project.configs.contains_key(&grant.source) {
                let message = format!("the config `{}` is not defined", grant.source);
                self.tell(&grant.at, "configs", message, "add it to `configs` of the file");
            }
        }
    }

    fn dependencies(&mut self) {
        for (name, dependency) in &self.service.depends_on {
            if self.project.services.contains_key(name) {
                continue;
            }
            let attribute = join("depends_on", name);
            if !self.project.disabled.contains(name) {
                let message = format!("the service `{name}` is not defined");
                self.tell(&dependency.at, &attribute, message, "correct the name, or define it");
            } else if dependency.required {
                let message = format!("the service `{name}` is in no active profile");
                self.tell(
                    &dependency.at,
                    &attribute,
                    message,
                    "activate one of its profiles, or write `required: false`",
                );
            }
        }
    }

    fn contradictions(&mut self) {
        let service = self.service;
        if service.network_mode.is_some() && !service.networks.is_empty() {
            self.tell_attribute(
                "network_mode",
                "`network_mode` and `networks` exclude one another",
                "give one of them",
            );
        }
        let deploy = service.deploy.as_ref();
        let replicas = deploy.and_then(|deploy| deploy.replicas);
        if let (Some(scale), Some(replicas)) = (service.scale, replicas)
            && scale != replicas
        {
            self.tell_attribute("scale", "`scale` and `deploy.replicas` differ", "give one of them");
        }
        if service.container_name.is_some() && service.replicas() > 1 {
            let message = "a service with `container_name` can have one container only";
            self.tell_attribute("container_name", message, "remove it, or `scale` and `deploy.replicas`");
        }
        let limits = deploy.and_then(|deploy| deploy.limits.as_ref());
        let reservations = deploy.and_then(|deploy| deploy.reservations.as_ref());
        let pairs = [
            ("cpus", service.nano_cpus, limits.map(|limits| limits.nano_cpus), "deploy.resources.limits.cpus"),
            ("mem_limit", service.mem_limit, limits.map(|limits| limits.memory), "deploy.resources.limits.memory"),
            ("pids_limit", service.pids_limit, limits.map(|limits| limits.pids), "deploy.resources.limits.pids"),
            (
                "mem_reservation",
                service.mem_reservation,
                reservations.map(|reservations| reservations.memory),
                "deploy.resources.reservations.memory",
            ),
        ];
        for (attribute, own, deployed, other) in pairs {
            if let (Some(own), Some(Some(deployed))) = (own, deployed)
                && own != deployed
            {
                self.tell_attribute(attribute, format!("`{attribute}` and `{other}` differ"), "give one of them");
            }
        }
    }

    fn targets(&mut self) {
        let mut taken = BTreeSet::new();
        let tmpfs = self.service.tmpfs.iter().map(|mount| ("tmpfs", &mount.target, &mount.at));
        let volumes = self.service.volumes.iter().map(|mount| ("volumes", &mount.target, &mount.at));
        for (attribute, target, at) in tmpfs.chain(volumes) {
            if !taken.insert(target) {
                self.tell(at, attribute, format!("`{target}` is mounted twice"), "remove one of them");
            }
        }
    }
}

fn container_names(project: &Project, problems: &mut Vec<Problem>) {
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, service) in &project.services {
        let Some(container) = &service.container_name else { continue };
        if let Some(owner) = owners.insert(container, name) {
            let path = join(&join("services", name), "container_name");
            let message = format!("the service `{owner}` has the container name `{container}` too");
            problems.push(Problem::new(service.at.of("container_name"), path, message, "use another"));
        }
    }
}

/// What exists already cannot be given attributes.
fn externals(project: &Project, problems: &mut Vec<Problem>) {
    for (name, volume) in project.volumes.iter().filter(|(_, volume)| volume.external) {
        if volume.driver.is_some() || !volume.driver_opts.is_empty() || !volume.labels.is_empty() {
            let message = "an external volume can have no attribute but `name`";
            problems.push(Problem::new(
                volume.at.declared(),
                join("volumes", name),
                message,
                "remove the others, or `external`",
            ));
        }
    }
}

/// Tells of each cycle once.
fn cycles(project: &Project, problems: &mut Vec<Problem>) {
    let mut done: BTreeSet<&str> = BTreeSet::new();
    for start in project.services.keys() {
        // The way to where we are, and what is to be looked at from each step of it.
        let mut way: Vec<(&str, Vec<&str>)> = Vec::new();
        let mut next = Some(start.as_str());
        while let Some(name) = next.take() {
            if let Some(begin) = way.iter().position(|(step, _)| *step == name) {
                let mut names: Vec<&str> = way.iter().skip(begin).map(|(step, _)| *step).collect();
                names.push(name);
                let message = format!("services depend on one another: `{}`", names.join("` → `"));
                let at =
                    project.services.get(name).map(|service| service.at.of("depends_on").clone()).unwrap_or_default();
                let path = join(&join("services", name), "depends_on");
                problems.push(Problem::new(&at, path, message, "remove one of these dependencies"));
            } else if !done.contains(name) {
                way.push((name, dependencies_of(project, name)));
            }
            while let Some((step, left)) = way.last_mut() {
                next = left.pop();
                if next.is_some() {
                    break;
                }
                done.insert(step);
                way.pop();
            }
        }
    }
}

fn dependencies_of<'a>(project: &'a Project, name: &str) -> Vec<&'a str> {
    let service = project.services.get(name);
    let built = service.into_iter().flat_map(|service| built_from(service).map(|(_, target)| target));
    let needed = service.into_iter().flat_map(|service| service.depends_on.keys().map(String::as_str));
    needed.chain(built).filter(|name| project.services.contains_key(*name)).collect()
}
