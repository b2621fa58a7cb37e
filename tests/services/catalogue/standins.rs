//! Images in place of those of the catalogue: busybox, and small programs under the names that the official images have.

use std::{fs, path::Path, thread};

use cloudfaster::docker::catalogue;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::{docker::images, lab::Lab};

/// What an official image says of how it is run, as far as the catalogue relies on it. (An
/// import takes no stop signal: the stand-ins end by any.)
fn changes(key: &str) -> &'static [&'static str] {
    match key {
        "nginx" => &[r#"ENTRYPOINT ["docker-entrypoint.sh"]"#, r#"CMD ["nginx", "-g", "daemon off;"]"#],
        "php" => &[
            r#"ENTRYPOINT ["docker-php-entrypoint"]"#,
            r#"CMD ["apache2-foreground"]"#,
            "ENV PHP_VERSION=8.4.0",
            "WORKDIR /var/www/html",
        ],
        "composer" => &[r#"ENTRYPOINT ["docker-entrypoint.sh"]"#, r#"CMD ["composer"]"#],
        "node" => &[r#"ENTRYPOINT ["docker-entrypoint.sh"]"#, r#"CMD ["node"]"#],
        "python" => &[r#"CMD ["python"]"#],
        "wordpress" => &[
            r#"ENTRYPOINT ["docker-entrypoint.sh"]"#,
            r#"CMD ["apache2-foreground"]"#,
            "VOLUME /var/www/html",
            "WORKDIR /var/www/html",
        ],
        "mysql" => &[r#"ENTRYPOINT ["docker-entrypoint.sh"]"#, r#"CMD ["mysqld"]"#, "VOLUME /var/lib/mysql"],
        "mariadb" => &[r#"ENTRYPOINT ["docker-entrypoint.sh"]"#, r#"CMD ["mariadbd"]"#, "VOLUME /var/lib/mysql"],
        "postgres" => &[r#"ENTRYPOINT ["docker-entrypoint.sh"]"#, r#"CMD ["postgres"]"#, "VOLUME /var/lib/postgresql"],
        "redis" => &[r#"ENTRYPOINT ["docker-entrypoint.sh"]"#, r#"CMD ["redis-server"]"#, "VOLUME /data"],
        "mongo" => &[r#"ENTRYPOINT ["docker-entrypoint.sh"]"#, r#"CMD ["mongod"]"#, "VOLUME /data/db /data/configdb"],
        "filebrowser" => &[r#"ENTRYPOINT ["/init.sh"]"#, "USER 1000", "VOLUME /srv /config /database"],
        other => panic!("there is no stand-in for {other}"),
    }
}

impl Lab {
    /// Makes stand-ins for images of the catalogue, by their keys, and has the host take them: the first from under a name of its
    /// own, and the others from a mirror.
    pub async fn take_stand_ins(&self, keys: &[&str]) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/services/catalogue/programs");
        let programs = fs::read_dir(folder).unwrap().map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            (format!("usr/local/bin/{name}"), fs::read_to_string(&path).unwrap())
        });
        let programs: Vec<_> = programs.collect();
        let programs: Vec<_> = programs.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        let own = format!("{}-own:1", self.run.id);
        let mirror = format!("{}.example.test/hub", self.run.id);
        thread::scope(|scope| {
            for (index, key) in keys.iter().enumerate() {
                let usual = catalogue::image(key).unwrap();
                let library = if usual.contains('/') { "" } else { "library/" };
                let name = if index == 0 { own.clone() } else { format!("{mirror}/{library}{usual}") };
                let programs = &programs;
                scope.spawn(move || images::image_with(&name, changes(key), programs));
            }
        });
        let first = keys[0];
        let spec = json!({"catalogue": {"mirror": mirror, "images": {first: own}}});
        let patch = Patch::Merge(json!({"spec": spec}));
        self.hosts().patch("local", &PatchParams::default(), &patch).await.unwrap();
    }
}
