//! A pipeline for GitLab. <https://docs.gitlab.com/ci/yaml/>

use std::fmt::Write as _;

use super::{ExportedEnv, ExportedFile, ExportedProject, JobGroup, env_names, pythons, selection};
use crate::digest::sha256;
use crate::error::ConfigError;

const PATH: &str = ".gitlab-ci.yml";
/// <https://docs.gitlab.com/ci/yaml/#parallel>
const MOST_PARALLEL: usize = 200;

pub(super) fn render(project: &ExportedProject) -> Result<ExportedFile, ConfigError> {
    project.ensure_environments()?;
    let mut text = project.header();
    text.push_str("stages: [test, results]\n\n.envo:\n  before_script:\n    - pip install envo-run\n");
    for (name, group) in project.jobs() {
        write_job(&mut text, &name, group);
    }
    let all = selection(&project.all);
    let _ = write!(
        text,
        "\nresults:\n  extends: .envo\n  stage: results\n  image: {}\n  when: always\n  script:\n",
        image(&project.after)
    );
    if !project.after.is_empty() {
        let names = selection(env_names(&project.after));
        // Its failure is one of the merged results.
        let _ = writeln!(
            text,
            "    - envo run -e {names} --install-python --shard 1/1 --result-json results/after.json || true"
        );
    }
    let _ = write!(
        text,
        "    - envo merge results/*.json --junit-xml junit.xml --expect {all}\n  artifacts:\n    when: always\n    \
         reports:\n      junit: junit.xml\n"
    );
    Ok(ExportedFile { path: PATH.to_owned(), text })
}

fn write_job(text: &mut String, name: &str, group: &JobGroup) {
    let names = selection(env_names(&group.environments));
    let total = group.slices(MOST_PARALLEL);
    let (parallel, shard, index) = match total {
        1 => (String::new(), "1/1", "1"),
        _ => (format!("  parallel: {total}\n"), "auto", "$CI_NODE_INDEX"),
    };
    let digests: String = group.environments.iter().map(|environment| format!("{}\n", environment.digest)).collect();
    let key = &sha256(digests)[..12];
    let _ = write!(
        text,
        "\n{name}:\n  extends: .envo\n  stage: test\n  image: {}\n{parallel}  cache:\n    key: envo-{name}-{key}\n    \
         paths: [.tox]\n  script:\n    - envo run -e {names} --install-python --shard {shard} --result-json \
         results/{name}-{index}.json\n  artifacts:\n    when: always\n    paths: [results]\n",
        image(&group.environments)
    );
}

/// The newest Python that is needed; envo installs the others.
fn image(environments: &[ExportedEnv]) -> String {
    let versions = pythons(environments);
    let newest = versions.iter().rfind(|version| *version != "3.x");
    format!("python:{}", newest.map_or("3", String::as_str))
}
