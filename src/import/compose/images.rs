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
                "sh -c 'test -s {env_dir}/data/PG_VERSION || initdb -D {env_dir}/data -U postgres --auth trust'",
            ),
            ("serve", "sh -c 'exec postgres -D {env_dir}/data -h {host} -p {port} -c unix_socket_directories='"),
            ("ready", "cmd:sh -c 'exec pg_isready --host {host} --port {port}'"),
            ("url", "postgresql://postgres@{host}:{port}/postgres"),
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
