//! An object that is walked through its plan, by processes that can die.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use cloudfaster::docker::{
    act::{self, Work},
    compose::model::{
        Condition, Dependency, FileGrant, FileObject, Healthcheck, Mount, MountKind, NetworkAttachment, Project,
        Restart, Service as ModelService,
    },
    desired::{Deployment, Desired, Fetch, Network, Removal, Service, State, Volume},
    engine::{
        Engine,
        inventory::{Inventory, Look, Settings},
        outcome,
    },
    identity::{self, Owner},
    observe::{self, ImageMarks},
    observed::{Progress, TaskSight},
    plan::{Action, Step, plan},
    recorded::Recorded,
};
use cloudfaster::reason::Reason;
use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::support::{Run, command::try_docker, engine, images::image, proxy::Proxy};

/// How long a wait for the engine may last: it is loaded by other tests.
const PATIENCE: Duration = Duration::from_secs(120);

/// An object, and what is recorded of it.
pub struct Object {
    pub owner: Owner,
    pub project: Project,
    pub deployment: Deployment,
    pub removal: Option<Removal>,
    pub recorded: Recorded,
    pub held: bool,
    engine: Engine,
}

/// How a walk ended.
#[derive(Debug, PartialEq)]
pub enum End {
    Rest,
    Stall(Reason),
    /// The process died.
    Death,
    Released,
}

/// A database that is checked for its health, a migration that runs once, and a web server with a file, a volume and an
/// anonymous volume.
pub fn project(name: &str, image: &str) -> Project {
    let depend = |condition| Dependency { at: Default::default(), condition, restart: false, required: true };
    let base = ModelService {
        image: Some(image.to_owned()),
        restart: Some(Restart::UnlessStopped),
        stop_grace_period: Some(Duration::ZERO),
        networks: [("default".to_owned(), NetworkAttachment::default())].into(),
        ..ModelService::default()
    };
    let mount = |target: &str, source: Option<&str>| Mount {
        at: Default::default(),
        target: target.to_owned(),
        read_only: false,
        consistency: None,
        kind: MountKind::Volume {
            source: source.map(str::to_owned),
            nocopy: false,
            subpath: None,
            labels: BTreeMap::new(),
            selinux: None,
        },
    };
    let db = ModelService {
        healthcheck: Some(Healthcheck {
            test: vec!["CMD".into(), "test".into(), "-d".into(), "/data".into()],
            interval: Some(Duration::from_secs(1)),
            ..Healthcheck::default()
        }),
        volumes: vec![mount("/data", Some("data"))],
        ..base.clone()
    };
    let migrate = ModelService {
        command: Some(vec!["true".into()]),
        restart: Some(Restart::No),
        depends_on: [("db".to_owned(), depend(Condition::ServiceHealthy))].into(),
        ..base.clone()
    };
    let file = FileGrant {
        at: Default::default(),
        source: "page".into(),
        target: "/srv/page".into(),
        uid: None,
        gid: None,
        mode: None,
    };
    let web = ModelService {
        depends_on: [
            ("db".to_owned(), depend(Condition::ServiceHealthy)),
            ("migrate".to_owned(), depend(Condition::ServiceCompletedSuccessfully)),
        ]
        .into(),
        volumes: vec![mount("/cache", None)],
        configs: vec![file],
        ..base
    };
    let named = |key: &str| format!("{name}_{key}");
    let network = cloudfaster::docker::compose::model::Network { name: named("default"), ..Default::default() };
    let volume = cloudfaster::docker::compose::model::Volume { name: named("data"), ..Default::default() };
    let page = FileObject { name: named("page"), content: b"hello".to_vec(), ..FileObject::default() };
    Project {
        name: name.to_owned(),
        services: [("db", db), ("migrate", migrate), ("web", web)]
            .map(|(key, service)| (key.to_owned(), service))
            .into(),
        networks: [("default".to_owned(), network)].into(),
        volumes: [("data".to_owned(), volume)].into(),
        configs: [("page".to_owned(), page)].into(),
        ..Project::default()
    }
}

/// What decisions need of a project.
pub fn deployment(project: &Project) -> Deployment {
    let hash = |value: String| identity::hash([value.as_str()]);
    let service = |service: &ModelService| Service {
        replicas: service.replicas(),
        container_name: None,
        image: service.image.clone().unwrap(),
        fetch: Fetch::Missing,
        config: hash(serde_json::to_string(&(service, &project.configs)).unwrap()),
        networks: service.networks.keys().cloned().collect(),
        volumes: BTreeSet::new(),
        lives_in: BTreeSet::new(),
        mounts_of: BTreeSet::new(),
        depends_on: service.depends_on.clone(),
        restart: service.restart.unwrap_or(Restart::No),
        post_start: !service.post_start.is_empty(),
    };
    Deployment {
        project: project.name.clone(),
        release: hash(serde_json::to_string(project).unwrap()),
        state: State::Running,
        restart: None,
        health_deadline: SignedDuration::from_secs(60),
        rollback: true,
        returning: false,
        services: project.services.iter().map(|(name, model)| (name.clone(), service(model))).collect(),
        networks: project
            .networks
            .iter()
            .map(|(key, network)| {
                let config = hash(serde_json::to_string(network).unwrap());
                (key.clone(), Network { name: network.name.clone(), external: false, config, proxy: None })
            })
            .collect(),
        volumes: project
            .volumes
            .iter()
            .map(|(key, volume)| {
                let config = hash(serde_json::to_string(volume).unwrap());
                (key.clone(), Volume { name: volume.name.clone(), external: false, config, content: false })
            })
            .collect(),
    }
}

impl Object {
    /// One of its own, with images of its own.
    pub fn new(run: &Run, name: &str) -> Self {
        let tag = run.name("image") + ":1";
        if !try_docker(&["image", "inspect", &tag], &[]).status.success() {
            image(&tag);
        }
        let project = project(&run.name(name), &tag);
        Self {
            owner: Owner {
                installation: run.id.clone(),
                namespace: "tests".into(),
                name: name.to_owned(),
                uid: format!("uid-{name}"),
                formerly: BTreeSet::new(),
            },
            deployment: deployment(&project),
            project,
            removal: None,
            recorded: Recorded::default(),
            held: false,
            engine: engine(),
        }
    }

    /// The project becomes another.
    pub fn change(&mut self, change: impl FnOnce(&mut Project)) {
        change(&mut self.project);
        let Deployment { state, restart, .. } = self.deployment.clone();
        self.deployment = Deployment { state, restart, ..deployment(&self.project) };
    }

    /// The status is lost.
    pub fn lose_status(&mut self) {
        self.recorded = Recorded { lost: self.held, ..Recorded::default() };
    }

    /// A process walks the plan until there is nothing more to do, or it dies.
    pub async fn walk(&mut self, proxy: &Proxy) -> End {
        let stop = CancellationToken::new();
        let settings = Settings {
            engine: self.engine.clone(),
            installation: self.owner.installation.clone(),
            image_patterns: Vec::new(),
        };
        let inventory = Inventory::start(settings, stop.clone());
        let _stop = stop.drop_guard();
        let marks = ImageMarks::default();
        let mut tasks: BTreeMap<String, TaskSight> = BTreeMap::new();
        let mut snapshots = inventory.watch();
        timeout(PATIENCE, snapshots.wait_for(|snapshot| snapshot.is_current())).await.unwrap().unwrap();
        for _ in 0..400 {
            let snapshot = snapshots.borrow_and_update().clone();
            let containers = observe::containers(&snapshot, &self.owner, &self.recorded);
            marks.learn(&self.engine, &containers).await.unwrap();
            let mut observed = observe::observed(&snapshot, &containers, &marks, &self.owner);
            observed.tasks = tasks.clone();
            let step = loop {
                match plan(&self.desired(), &self.owner, &self.recorded, &observed, Timestamp::now()) {
                    Step::Look(looks) => observe::look(&self.engine, looks, &mut observed).await.unwrap(),
                    step => break step,
                }
            };
            match step {
                Step::Look(_) => {}
                Step::Record(recorded) => {
                    self.recorded = *recorded;
                    self.held = true;
                }
                Step::Act(actions) => {
                    self.held = true;
                    self.act(proxy, &inventory, &actions, &mut tasks).await;
                    if proxy.is_dead() {
                        return End::Death;
                    }
                    let lists = Look { containers: act::look(&actions).containers, ..Look::lists() };
                    inventory.look(lists).await;
                }
                Step::Wait(reason, again) => {
                    let pause = again.map_or(PATIENCE, |again| {
                        let pause = again.duration_since(Timestamp::now());
                        Duration::try_from(pause).unwrap_or_default().max(Duration::from_millis(20))
                    });
                    tokio::select! {
                        changed = snapshots.changed() => changed.unwrap(),
                        () = sleep(pause) => assert!(again.is_some(), "nothing happens: {reason:?}"),
                    }
                }
                Step::Rest { .. } => return End::Rest,
                Step::Stall(reason) => return End::Stall(reason),
                Step::Release => return End::Released,
            }
        }
        panic!("the plan does not come to an end: {:?}", self.recorded);
    }

    fn desired(&self) -> Desired {
        match self.removal {
            Some(removal) => Desired::Gone(removal),
            None => Desired::Present(Box::new(self.deployment.clone())),
        }
    }

    async fn act(
        &self,
        proxy: &Proxy,
        inventory: &Inventory,
        actions: &[Action],
        tasks: &mut BTreeMap<String, TaskSight>,
    ) {
        let capacity = inventory.snapshot().capacity.clone().unwrap();
        let present = (Arc::new(self.project.clone()), Arc::new(self.deployment.clone()));
        let work = actions.iter().map(|action| {
            let work = Work {
                delivery: Arc::default(),
                engine: proxy.engine(),
                owner: self.owner.clone(),
                present: self.removal.is_none().then(|| present.clone()),
                credentials: BTreeMap::new(),
                admission: None,
                api: capacity.api,
                action: action.clone(),
            };
            async move { (action.key(), work.perform(watch::Sender::new(Progress::default())).await) }
        });
        for (key, done) in futures::future::join_all(work).await {
            match done {
                Ok(found) => drop(tasks.insert(key, TaskSight::Succeeded { at: Timestamp::now(), found })),
                Err(error) => {
                    let failure = outcome::of(&error);
                    let reason = Reason::new(failure.word, failure.message);
                    let pause = match failure.class {
                        outcome::Class::LookAgain => 0,
                        _ => 1,
                    };
                    let again = Timestamp::now() + SignedDuration::from_secs(pause);
                    let refused = error.refusal().is_some();
                    tasks.insert(key, TaskSight::Failed { reason, class: failure.class, refused, again });
                }
            }
        }
    }

    /// Name and state of each container that has the object's labels, but for copies under names that are not the project's.
    pub fn containers(&self) -> Vec<String> {
        let mut listed = self.list(&["ps", "--all", "--format", "{{.Names}} {{.State}}"]);
        listed.retain(|line| line.contains(&self.project.name));
        listed
    }

    /// What of a kind (`network`, `volume`) has the object's label.
    pub fn things(&self, kind: &str) -> Vec<String> {
        self.list(&[kind, "ls", "--format", "{{.Name}}"])
    }

    fn list(&self, command: &[&str]) -> Vec<String> {
        let uid = format!("label={}={}", cloudfaster::docker::labels::UID, self.owner.uid);
        let installation = format!("label={}={}", cloudfaster::docker::labels::INSTALLATION, self.owner.installation);
        let filters = ["--filter", &uid, "--filter", &installation];
        let printed = crate::support::command::docker(&[command, &filters].concat());
        let mut lines: Vec<_> = printed.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}
