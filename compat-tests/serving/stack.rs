//! Tests `fixtures/stack` with real programs: PostgreSQL, Redis, Flask, an ASGI server, a worker and a migration.

use std::path::Path;

use crate::support::machine;
use crate::support::project::Project;

/// What the fixture takes from the system.
pub fn need_database_and_queue() {
    let postgres = Path::new("/usr/lib/postgresql").read_dir().is_ok_and(|mut versions| versions.next().is_some());
    let missing: Vec<&str> =
        [(postgres || machine::has("postgres"), "postgresql"), (machine::has("redis-server"), "redis-server")]
            .into_iter()
            .filter_map(|(is_there, package)| (!is_there).then_some(package))
            .collect();
    assert!(missing.is_empty(), "`fixtures/stack` needs these: apt-get install {}", missing.join(" "));
}

#[test]
fn a_database_a_queue_a_migration_and_three_programs_serve_one_test_run() {
    need_database_and_queue();
    let project = Project::fixture("stack").with_kept_cache();
    let outcome = project.run(["run"]).succeeds().says("app: OK").says("migrate: exited");
    let at = |text: &str| outcome.stdout.find(text).unwrap_or_else(|| panic!("`{text}` is not told: {outcome:?}"));
    for (earlier, later) in [
        ("postgres: ready at postgresql://shop@127.0.0.1:", "migrate: commands[0]"),
        ("migrate: exited", "web: ready at http://127.0.0.1:"),
        ("migrate: exited", "worker: ready"),
        ("redis: ready at redis://127.0.0.1:", "live: ready at http://127.0.0.1:"),
        ("web: ready", "app: commands[0]"),
        ("web: stopped", "postgres: stopped"),
        ("live: stopped", "redis: stopped"),
    ] {
        assert!(at(earlier) < at(later), "{earlier} before {later}: {outcome:?}");
    }
    assert_eq!(project.processes(), [] as [&str; 0]);
}
