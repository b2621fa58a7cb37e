//! Attributes of the specification that are not supported, and why.

/// Reason and remedy, if the attribute at a path is known and refused.
pub fn reason(path: &str) -> Option<(&'static str, &'static str)> {
    REFUSED.iter().find(|(pattern, ..)| matches(pattern, path)).map(|(_, reason, remedy)| (*reason, *remedy))
}

fn matches(pattern: &str, path: &str) -> bool {
    let mut keys = path.split('.');
    let fits = pattern.split('.').all(|part| keys.next().is_some_and(|key| part == "*" || part == key));
    fits && keys.next().is_none()
}

const SWARM: &str = "it is for Docker Swarm";
const WINDOWS: &str = "it is for Windows containers";
const REMOVE: &str = "remove it";

/// Path with `*` for names and indexes, reason, remedy.
pub const REFUSED: &[(&str, &str, &str)] = &[
    ("jobs", "jobs are not run", "use a service with `restart: \"no\"`"),
    ("models", "models are run by Docker Desktop", REMOVE),
    ("services.*.deploy.mode", SWARM, "remove it, and give `deploy.replicas`"),
    ("services.*.deploy.placement", SWARM, "remove it: the host is chosen by the resource"),
    ("services.*.deploy.update_config", SWARM, "remove it: the resource says how releases are rolled out"),
    ("services.*.deploy.rollback_config", SWARM, "remove it: the resource says how releases are rolled back"),
    ("services.*.deploy.endpoint_mode", SWARM, REMOVE),
    ("services.*.deploy.labels", "containers do not get these labels", "use `labels` of the service"),
    ("services.*.deploy.resources.reservations.generic_resources", SWARM, REMOVE),
    ("services.*.develop", "it is for work on a developer's machine", "move it to a file of its own"),
    ("services.*.provider", "it is a program on a developer's machine", "use an image"),
    ("services.*.models", "models are run by Docker Desktop", REMOVE),
    ("services.*.credential_spec", WINDOWS, REMOVE),
    ("services.*.isolation", WINDOWS, REMOVE),
    ("services.*.cpu_count", WINDOWS, "use `cpus`"),
    ("services.*.cpu_percent", WINDOWS, "use `cpus`"),
    ("services.*.use_api_socket", "it hands the engine and the host's credentials to the container", REMOVE),
    (
        "services.*.pre_start",
        "containers that run before a service are not",
        "use a service, and `depends_on` with `service_completed_successfully`",
    ),
    ("services.*.pull_refresh_after", "it is not of the specification", "use `pull_policy: every_12h`"),
    ("services.*.volume_driver", "it is not of the specification any more", "give `driver` of a volume"),
    ("services.*.log_driver", "it is not of the specification any more", "use `logging.driver`"),
    ("services.*.log_opt", "it is not of the specification any more", "use `logging.options`"),
    ("services.*.net", "it is not of the specification any more", "use `network_mode`"),
    ("services.*.dockerfile", "it is not of the specification any more", "use `build.dockerfile`"),
    ("services.*.build.isolation", WINDOWS, REMOVE),
    ("services.*.build.ssh", "there is no SSH agent to hand on", "use build secrets"),
    ("services.*.volumes.*.cluster", SWARM, REMOVE),
    ("configs.*.external", SWARM, "give `file`, `environment` or `content`"),
    ("configs.*.template_driver", SWARM, REMOVE),
    ("secrets.*.external", SWARM, "give `file` or `environment`"),
    ("secrets.*.driver", SWARM, "give `file` or `environment`"),
    ("secrets.*.driver_opts", SWARM, "give `file` or `environment`"),
    ("secrets.*.template_driver", SWARM, REMOVE),
    ("secrets.*.content", "the specification gives secrets no content in the file", "use `environment` or `file`"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_attribute_is_found_by_its_path() {
        assert!(reason("services.web.develop").is_some());
        assert!(reason("services.web.build.ssh").is_some());
        assert!(reason("services.web.develop.watch").is_none());
        assert!(reason("develop").is_none());
    }
}
