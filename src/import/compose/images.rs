//! Images whose program the system's packages have, and how it is run as a service of a project.

type Keys = &'static [(&'static str, &'static str)];

/// Image, package, keys.
const IMAGES: [(&str, &str, Keys); 3] = [
    (
        "redis",
        "the package redis-server",
        &[
            ("ports", "redis"),
            ("allowlist_externals", "redis-server"),
            ("serve", "redis-server --bind {host} --port {port} --save \"\" --dir {env_tmp_dir}"),
            ("url", "redis://{host}:{port}/0"),
        ],
    ),
    (
        "postgres",
        "the package postgresql, with its bin folder on PATH,",
        &[
            ("ports", "sql"),
            ("allowlist_externals", "sh"),
            (
                "commands_pre",
                "sh -c 'test -s {env_dir}/data/PG_VERSION || initdb -D {env_dir}/data -U <user> --auth trust'",
            ),
            ("serve", "sh -c 'exec postgres -D {env_dir}/data -h {host} -p {port} -c unix_socket_directories='"),
            ("ready", "cmd:sh -c 'exec pg_isready --host {host} --port {port}'"),
            ("url", "postgresql://<user>@{host}:{port}/<name>"),
            ("stop_signal", "SIGINT"),
        ],
    ),
    (
        "memcached",
        "the package memcached",
        &[
            ("ports", "memcached"),
            ("allowlist_externals", "memcached"),
            ("serve", "memcached --listen {host} --port {port}"),
        ],
    ),
];

/// What has to be installed in place of an image, and the keys of its service.
pub fn known(image: &str) -> Option<(&'static str, Keys)> {
    let name = image.rsplit('/').next()?.split([':', '@']).next()?;
    IMAGES.iter().find(|(known, _, _)| *known == name).map(|(_, package, keys)| (*package, *keys))
}

/// What the image of PostgreSQL makes of its variables, and what becomes of the key of a service that has them.
pub struct Database {
    pub user: String,
    /// Which the image makes on first use.
    pub name: String,
}

impl Database {
    /// `None`: that is another image.
    pub fn of(image: &str, variable: impl Fn(&str) -> Option<String>) -> Option<Self> {
        known(image).filter(|(_, keys)| keys.iter().any(|(_, value)| value.contains("<user>")))?;
        let user = variable("POSTGRES_USER").unwrap_or_else(|| "postgres".to_owned());
        Some(Self { name: variable("POSTGRES_DB").unwrap_or_else(|| user.clone()), user })
    }

    /// Whether a variable is said by the keys.
    pub fn says(variable: &str) -> bool {
        matches!(variable, "POSTGRES_USER" | "POSTGRES_DB" | "POSTGRES_PASSWORD")
    }

    /// A value of [`known`] for this database.
    pub fn filled(&self, value: &str) -> String {
        let value = value.replace("<user>", &self.user).replace("<name>", &self.name);
        match value.split_once("|| initdb") {
            // The one that is always there takes the order to make another.
            Some((before, initdb)) if self.name != "postgres" => {
                let initdb = initdb.trim_end_matches('\'');
                let (make, server) = (&self.name, "postgres --single -D {env_dir}/data postgres");
                format!("{before}|| ( initdb{initdb} && echo \"CREATE DATABASE {make}\" | {server} )'")
            }
            _ => value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_known_with_registry_and_tag() {
        for image in ["redis", "redis:7-alpine", "docker.io/library/redis@sha256:0", "registry:5000/redis:7"] {
            assert!(known(image).is_some_and(|(_, keys)| keys.iter().any(|(key, _)| *key == "serve")), "{image}");
        }
        for image in ["", "example/app", "redisinsight", "redis/redisinsight"] {
            assert!(known(image).is_none(), "{image}");
        }
    }
}
