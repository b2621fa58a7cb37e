//! Services that are made of types. The images are stand-ins, with small programs under the names that the official ones have;
//! commands, health checks, volumes and variables are those of the catalogue.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Once,
    time::Duration,
};

use cloudfaster::{
    api::DockerService,
    docker::{
        catalogue,
        content::{Builder, Limits},
    },
};
use futures::future::join_all;
use k8s_openapi::{
    ByteString,
    api::{
        core::v1::{ConfigMap, Secret},
        events::v1::Event,
    },
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{
    docker::{
        command::{docker, try_docker},
        images,
    },
    lab::Lab,
    logs,
};

mod caddy;
mod standins;

/// What the source of all services has: a folder for each.
const FILES: &[(&str, &str)] = &[
    ("static/index.html", "static"),
    ("static/.env", "KEY=1"),
    ("php/index.html", "php"),
    ("laravel/artisan", ""),
    ("laravel/composer.json", "{}"),
    ("laravel/public/index.html", "laravel"),
    ("node/package.json", r#"{"scripts": {"start": "node server.js"}}"#),
    ("node/package-lock.json", "{}"),
    ("node/server.js", "exec httpd -f -p $PORT -h public"),
    ("node/public/index.html", "node"),
    ("react/package.json", "{}"),
    ("react/src/index.html", "react"),
    ("python/requirements.txt", "gunicorn\n"),
    ("python/app.py", "app = Flask(__name__)\n"),
    ("python/public/index.html", "python"),
    ("wordpress/themes/site/style.css", "theme"),
];

/// A service, and what is to become of it.
struct Case {
    name: &'static str,
    types: &'static [&'static str],
    filebrowser: bool,
    /// The types that run.
    run: &'static [&'static str],
    /// The page that the web type shows, by port and path, and its text.
    page: (&'static str, &'static str),
    /// What the web type asks its databases by.
    asks: &'static [(&'static str, &'static str)],
}

const CASES: [Case; 7] = [
    Case {
        name: "static",
        types: &["Static", "Redis"],
        filebrowser: true,
        run: &["Static", "Redis"],
        page: ("80/", "static"),
        asks: &[],
    },
    Case {
        name: "php",
        types: &["PHP", "MySQL", "Redis"],
        filebrowser: false,
        run: &["PHP", "MySQL", "Redis"],
        page: ("80/", "php"),
        asks: &[("$DB_HOST:$DB_PORT", "mysql"), ("$MYSQL_HOST:$MYSQL_PORT", "mysql"), ("$REDIS_HOST:6379", "redis")],
    },
    Case {
        name: "laravel",
        types: &["Laravel", "Postgres"],
        filebrowser: false,
        run: &["Laravel", "PostgreSQL"],
        page: ("80/", "laravel"),
        asks: &[("$DB_HOST:$DB_PORT", "postgres")],
    },
    Case {
        name: "node",
        types: &["Node.js", "MongoDB"],
        filebrowser: false,
        run: &["Node.js", "MongoDB"],
        page: ("3000/", "node"),
        asks: &[("$MONGODB_HOST:$MONGODB_PORT", "mongodb")],
    },
    Case { name: "react", types: &["React"], filebrowser: false, run: &["React"], page: ("80/", "react"), asks: &[] },
    Case {
        name: "python",
        types: &["python", "mariadb"],
        filebrowser: false,
        run: &["Python", "MariaDB"],
        page: ("8000/", "python"),
        asks: &[("$DB_HOST:$DB_PORT", "mariadb")],
    },
    Case {
        name: "wordpress",
        types: &["WordPress"],
        filebrowser: true,
        run: &["WordPress", "MariaDB"],
        page: ("80/wp-content/themes/site/style.css", "theme"),
        asks: &[("$WORDPRESS_DB_HOST", "mariadb")],
    },
];

fn archive() -> Vec<u8> {
    let mut builder = Builder::new(Limits::default()).unwrap();
    for (path, text) in FILES {
        builder.file(path.as_bytes(), false, text.as_bytes()).unwrap();
    }
    let mut archive = Vec::new();
    builder.finish().unwrap().write_tar(&[], &mut archive).unwrap();
    archive
}

/// A service of types, for [`Lab::apply`].
fn of(types: &[&str], more: Value) -> Value {
    let mut spec = json!({"compose": null, "types": types});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    spec
}

fn sourced(folder: &str) -> Value {
    json!({"source": {"archive": {"configMapRef": {"name": "sites", "key": "sites.tar"}}, "path": folder}})
}

/// Keeps what is logged, from the first test on.
fn keep_logs() {
    static ONCE: Once = Once::new();
    ONCE.call_once(logs::keep);
}

impl Lab {
    async fn publish_sites(&self) {
        let map = ConfigMap {
            metadata: ObjectMeta { name: Some("sites".to_owned()), ..ObjectMeta::default() },
            binary_data: Some([("sites.tar".to_owned(), ByteString(archive()))].into()),
            ..ConfigMap::default()
        };
        let maps = Api::<ConfigMap>::namespaced(self.client.clone(), "shop");
        maps.create(&PostParams::default(), &map).await.unwrap();
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), "shop")
    }

    /// The text of a Secret.
    async fn texts(&self, name: &str) -> BTreeMap<String, String> {
        let data = self.secrets().get(name).await.unwrap().data.unwrap();
        data.into_iter().map(|(key, value)| (key, String::from_utf8(value.0).unwrap())).collect()
    }

    /// Has the controller look at a service again.
    async fn poke(&self, name: &str) {
        let patch = json!({"metadata": {"annotations": {"looked-at": jiff::Timestamp::now().to_string()}}});
        self.services().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// That none of these values is where people other than the Secret's readers look.
    async fn assert_untold(&self, values: &BTreeSet<String>) {
        let services = Api::<DockerService>::all(self.client.clone()).list(&ListParams::default()).await.unwrap();
        let events = Api::<Event>::all(self.client.clone()).list(&ListParams::default()).await.unwrap();
        assert!(!services.items.is_empty() && !events.items.is_empty());
        let logs = logs::kept();
        assert!(logs.contains("DockerService") || logs.contains("docker"), "nothing is logged");
        let told = [
            ("services", serde_json::to_string(&services).unwrap()),
            ("events", serde_json::to_string(&events).unwrap()),
            ("logs", logs.to_string()),
        ];
        for (place, text) in told {
            assert!(values.iter().all(|value| !text.contains(value)), "a password is in the {place}");
        }
    }

    async fn until_no_secret(&self, name: &str) {
        timeout(Duration::from_secs(60), async {
            while self.secrets().get_opt(name).await.unwrap().is_some() {
                sleep(Duration::from_millis(100)).await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("the Secret {name} stays"));
    }
}

/// The containers of a service as the engine describes them, by the services of the compose file.
fn containers(name: &str) -> BTreeMap<String, Value> {
    let filter = format!("label=cloudfaster.app/name={name}");
    let ids = docker(&["ps", "--all", "--quiet", "--filter", &filter]);
    let arguments: Vec<_> = ["inspect"].into_iter().chain(ids.split_whitespace()).collect();
    // The command fails for one that was removed since, and describes the others all the same.
    let inspected = try_docker(&arguments, &[]);
    let errors = String::from_utf8(inspected.stderr).unwrap();
    assert!(errors.lines().all(|line| line.contains("No such object")), "{errors}");
    let found: Vec<Value> = serde_json::from_slice(&inspected.stdout).unwrap();
    let key = |it: &Value| it["Config"]["Labels"]["com.docker.compose.service"].as_str().unwrap().to_owned();
    found.into_iter().map(|container| (key(&container), container)).collect()
}

fn id(container: &Value) -> &str {
    container["Id"].as_str().unwrap()
}

/// What a command prints in a container.
fn run_in(container: &Value, script: &str) -> String {
    docker(&["exec", id(container), "sh", "-c", script])
}

fn environment(container: &Value) -> Vec<&str> {
    container["Config"]["Env"].as_array().into_iter().flatten().map(|it| it.as_str().unwrap()).collect()
}

/// What is so for everything of the catalogue.
async fn check(lab: &Lab, name: &str, case: &Case) -> BTreeSet<String> {
    let service = lab.services().get(name).await.unwrap();
    let status = service.status.clone().unwrap();
    assert_eq!(
        (status.types, status.url, status.urls),
        (case.run.iter().map(|it| (*it).to_owned()).collect(), None, None)
    );
    let found = containers(name);
    for (key, container) in &found {
        let (state, host) = (&container["State"], &container["HostConfig"]);
        let expected = if ["composer", "build"].contains(&key.as_str()) {
            assert_eq!((&state["Status"], &state["ExitCode"]), (&json!("exited"), &json!(0)), "{name}: {key}");
            Value::Null
        } else {
            json!("healthy")
        };
        assert_eq!(state["Health"]["Status"], expected, "{name}: {key}: {}", state["Health"]);
        assert_eq!(host["SecurityOpt"], json!(["no-new-privileges:true"]), "{name}: {key}");
        assert_eq!((&host["Privileged"], &host["PortBindings"]), (&json!(false), &json!({})), "{name}: {key}");
        for mount in container["Mounts"].as_array().unwrap() {
            let volume = mount["Name"].as_str().unwrap_or_default();
            assert!(volume.starts_with(&lab.run.id) || volume.starts_with("data-") || volume.contains('_'), "{mount}");
            assert_eq!(mount["Type"], "volume", "{name}: {key}");
        }
    }

    // Each password is where it is needed, and nowhere else.
    let mut values = BTreeSet::new();
    for secret in &status.credentials {
        let owners = lab.secrets().get(secret).await.unwrap().metadata.owner_references.unwrap();
        assert_eq!((owners.len(), &owners[0].uid, owners[0].controller), (1, &service.uid().unwrap(), Some(true)));
        for (variable, value) in lab.texts(secret).await {
            let holders = found.iter().filter(|(_, it)| environment(it).iter().any(|entry| entry.contains(&value)));
            let holders: BTreeSet<_> = holders.map(|(key, _)| key.as_str()).collect();
            let database = variable.split('_').next().unwrap().to_lowercase();
            let expected = match variable.as_str() {
                "APP_KEY" => vec!["web"],
                "FILEBROWSER_PASSWORD" => vec!["filebrowser"],
                _ if variable.contains("ROOT") || case.asks.is_empty() => vec![database.as_str()],
                _ => vec![database.as_str(), "web"],
            };
            assert_eq!(holders, expected.into_iter().collect(), "{name}: {variable}");
            let own = environment(&found[if variable == "APP_KEY" { "web" } else { &database }]);
            let given = own.iter().filter_map(|entry| entry.split_once('=')).filter(|(_, given)| *given == value);
            assert!(
                given.map(|(key, _)| key).any(|key| key == variable || key.starts_with("MONGO_INITDB")),
                "{variable}"
            );
            values.insert(value);
        }
    }

    let (page, text) = case.page;
    assert_eq!(run_in(&found["web"], &format!("wget -q -O - http://127.0.0.1:{page}")), text, "{name}");
    for (address, text) in case.asks {
        assert_eq!(run_in(&found["web"], &format!("wget -q -O - \"http://{address}/\"")), *text, "{name}: {address}");
    }
    assert_eq!(found.contains_key("filebrowser"), case.filebrowser);
    if let Some(filebrowser) = found.get("filebrowser") {
        assert_eq!(filebrowser["Config"]["User"], "0:0");
        let password = &lab.texts(&format!("{name}-filebrowser")).await["FILEBROWSER_PASSWORD"];
        assert_eq!(run_in(filebrowser, "cat /database/user"), *password);
        // A link that a program of the service made leads to nothing that can be written.
        let outside = "ln -s /usr/local/bin/serve /srv/link && { echo >/srv/link; } 2>/dev/null";
        assert!(!try_docker(&["exec", id(filebrowser), "sh", "-c", outside], b"").status.success());
        run_in(filebrowser, "rm /srv/link; echo written >/srv/file; rm /srv/file");
    }
    values
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_of_the_catalogue_runs() {
    keep_logs();
    let lab = Lab::new().await;
    lab.take_stand_ins(&[
        "php",
        "nginx",
        "composer",
        "node",
        "python",
        "wordpress",
        "mysql",
        "mariadb",
        "postgres",
        "redis",
        "mongo",
        "filebrowser",
    ])
    .await;
    lab.publish_sites().await;
    let applied = CASES.iter().map(|case| {
        let mut spec = of(case.types, sourced(case.name));
        if case.filebrowser {
            spec["filebrowser"] = json!({});
        }
        let lab = &lab;
        async move { lab.apply(case.name, "", spec).await }
    });
    let names = join_all(applied).await;
    let later = lab.apply("later", "", of(&["Node.js"], json!({"filebrowser": {}}))).await;
    join_all(names.iter().chain([&later]).map(|name| lab.until_ready(name))).await;
    let mut values = BTreeSet::new();
    for (name, case) in names.iter().zip(&CASES) {
        values.extend(check(&lab, name, case).await);
    }
    assert_eq!(values.len(), 14, "no password is that of another");

    let of_type = |name: &str| containers(&names[CASES.iter().position(|case| case.name == name).unwrap()]);
    // What is done once was done once, and before what needs it.
    let laravel = of_type("laravel");
    assert_eq!(
        run_in(&laravel["web"], "cat vendor/runs storage/logs/artisan"),
        "/var/cache/composer\nartisan migrate --force"
    );
    assert_eq!(run_in(&laravel["web"], "stat -c %U storage/logs public"), "www-data\nroot");
    assert_eq!(run_in(&of_type("react")["web"], "cat /app/runs"), "built");
    assert_eq!(run_in(&of_type("node")["web"], "cat node_modules/runs"), "ci --no-audit --no-fund");
    // Extensions were built, and are kept.
    assert_eq!(run_in(&of_type("php")["web"], "ls /var/cache/extensions/8.4.0"), "mysqli.so\npdo_mysql.so");
    assert_eq!(run_in(&laravel["web"], "ls /var/cache/extensions/8.4.0"), "pdo_pgsql.so\npgsql.so");
    assert_eq!(run_in(&of_type("wordpress")["web"], "stat -c %U wp-content/uploads"), "www-data");
    // One image is the host's own, and the others come from its mirror.
    let mirror = format!("{}.example.test/hub/library", lab.run.id);
    let nginx = format!("{mirror}/{}", catalogue::image("nginx").unwrap());
    for (name, image) in [("php", format!("{}-own:1", lab.run.id)), ("static", nginx)] {
        assert_eq!(of_type(name)["web"]["Image"].as_str().unwrap(), images::id(&image), "{image}");
    }

    // Without a source it waits for what is put there by Filebrowser.
    let found = containers(&later);
    let page = || run_in(&found["web"], "wget -q -O - http://127.0.0.1:3000/ || true");
    assert!(page().contains("no application yet"));
    let files = "mkdir /srv/public; echo later >/srv/public/index.html
        echo 'exec httpd -f -p $PORT -h public' >/srv/server.js; echo '{\"scripts\": {\"start\": \"\"}}' >/srv/package.json";
    run_in(&found["filebrowser"], files);
    timeout(Duration::from_secs(30), async {
        while page() != "later" {
            sleep(Duration::from_millis(200)).await;
        }
    })
    .await
    .unwrap();

    lab.assert_untold(&values).await;
    let secrets = lab.secrets().list(&ListParams::default()).await.unwrap();
    let passwords = secrets.items.iter().filter(|secret| !secret.name_any().ends_with("-release"));
    assert_eq!(passwords.count(), 11, "one for each database, each Filebrowser and the key of Laravel");
    join_all(names.iter().chain([&later]).map(|name| lab.delete(name))).await;
    join_all(secrets.iter().map(|secret| {
        let name = secret.name_any();
        let lab = &lab;
        async move { lab.until_no_secret(&name).await }
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_types_is_told_and_passwords_are_never_made_anew() {
    keep_logs();
    let lab = Lab::new().await;
    lab.take_stand_ins(&["nginx", "mysql", "filebrowser"]).await;
    for (name, types, words) in [
        ("slip", &["MySLQ"][..], &["spec.types", "`MySLQ`", "did you mean MySQL?", "known are Static, PHP"][..]),
        ("two", &["PHP", "Node.js"], &["spec.types", "PHP and Node.js would both answer"]),
        ("built", &["React"], &["spec.types", "React needs a source"]),
    ] {
        let name = lab.apply(name, "", of(types, json!({}))).await;
        lab.until_told(&name, "InvalidTypes", words).await;
        assert!(containers_of_nothing(&name));
    }

    let short = json!({"filebrowser": {}, "env": [{"name": "FILEBROWSER_PASSWORD", "value": "too short"}]});
    let name = lab.apply("short", "", of(&["Static"], short)).await;
    lab.until_told(&name, "InvalidSecret", &["spec.env", "FILEBROWSER_PASSWORD", "at least 12 characters"]).await;

    let reference = json!({"passwordSecretRef": {"name": "admin", "key": "password"}});
    let site = lab.apply("site", "", of(&["Static", "MySQL"], json!({"filebrowser": reference}))).await;
    lab.until_told(&site, "DependencyNotFound", &["spec.filebrowser.passwordSecretRef", "no Secret admin"]).await;
    lab.secret("admin", "Opaque", json!({"password": "too short"})).await;
    lab.poke(&site).await;
    lab.until_told(&site, "InvalidSecret", &["spec.filebrowser.passwordSecretRef", "at least 12 characters"]).await;
    let long = "a password of my own";
    set_admin(&lab, long).await;
    lab.poke(&site).await;
    lab.until_ready(&site).await;
    assert_eq!(run_in(&containers(&site)["filebrowser"], "cat /database/user"), long);
    let mysql = format!("{site}-mysql");
    let status = lab.services().get(&site).await.unwrap().status.unwrap();
    assert_eq!(status.credentials, std::slice::from_ref(&mysql), "one's own is not made");

    // Another one of one's own is used, and nothing else is made anew.
    let before = containers(&site);
    let other = "another of my own";
    set_admin(&lab, other).await;
    lab.poke(&site).await;
    timeout(Duration::from_secs(60), async {
        while containers(&site).get("filebrowser").is_none_or(|it| id(it) == id(&before["filebrowser"])) {
            sleep(Duration::from_millis(200)).await;
        }
    })
    .await
    .unwrap();
    lab.until_ready(&site).await;
    let after = containers(&site);
    assert_eq!(run_in(&after["filebrowser"], "cat /database/user"), other);
    assert!(["web", "mysql"].iter().all(|key| id(&before[*key]) == id(&after[*key])));

    // A Secret that is lost: the database has the password that it began with, so another one would be of no use.
    let kept = lab.secrets().get(&mysql).await.unwrap();
    let passwords = lab.texts(&mysql).await;
    lab.secrets().delete(&mysql, &DeleteParams::default()).await.unwrap();
    lab.poke(&site).await;
    let words = [mysql.as_str(), "MYSQL_PASSWORD, MYSQL_ROOT_PASSWORD"];
    lab.until_told(&site, "CredentialsLost", &words).await;
    lab.poke(&site).await;
    sleep(Duration::from_secs(1)).await;
    lab.until_told(&site, "CredentialsLost", &words).await;
    assert!(lab.secrets().get_opt(&mysql).await.unwrap().is_none());
    assert_eq!(lab.running(&site), after.values().map(|it| id(it).to_owned()).collect(), "what runs goes on");
    let again = Secret { metadata: ObjectMeta { name: Some(mysql.clone()), ..ObjectMeta::default() }, ..kept };
    lab.secrets().create(&PostParams::default(), &again).await.unwrap();
    lab.poke(&site).await;
    lab.until_ready(&site).await;
    assert_eq!(lab.running(&site), after.values().map(|it| id(it).to_owned()).collect());

    let values = passwords.into_values().chain([long, other].map(str::to_owned)).collect();
    lab.assert_untold(&values).await;
    lab.delete(&site).await;
}

fn containers_of_nothing(name: &str) -> bool {
    docker(&["ps", "--all", "--quiet", "--filter", &format!("label=cloudfaster.app/name={name}")]).is_empty()
}

async fn set_admin(lab: &Lab, password: &str) {
    let patch = Patch::Merge(json!({"stringData": {"password": password}}));
    lab.secrets().patch("admin", &PatchParams::default(), &patch).await.unwrap();
}
