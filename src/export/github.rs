//! A workflow for GitHub Actions. <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax>

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{ExportedEnv, ExportedFile, ExportedProject, JobGroup, env_names, pythons, selection};
use crate::error::ConfigError;

const PATH: &str = ".github/workflows/envo.yml";
/// <https://docs.github.com/en/actions/reference/limits>
const MOST_JOBS: usize = 256;
const LARGEST: usize = 500_000;

pub(super) fn render(project: &ExportedProject) -> Result<ExportedFile, ConfigError> {
    project.ensure_environments()?;
    let mut text = project.header();
    text.push_str("name: envo\non:\n  push:\n  pull_request:\npermissions:\n  contents: read\njobs:\n");
    let jobs = project.jobs();
    for (name, group) in &jobs {
        write_job(&mut text, name, group);
    }
    let needs: Vec<&str> = jobs.iter().map(|(name, _)| name.as_str()).collect();
    write_results(&mut text, project, &needs);
    if text.len() > LARGEST {
        let error = ConfigError::handled("the workflow would be larger than the 500 kB that GitHub reads");
        return Err(error.hint("select fewer environments with -e, -m or -f"));
    }
    Ok(ExportedFile { path: PATH.to_owned(), text })
}

fn write_job(text: &mut String, name: &str, group: &JobGroup) {
    let total = group.slices(MOST_JOBS);
    let slices = (1..=total).map(|index| index.to_string()).collect::<Vec<_>>().join(", ");
    let names = selection(env_names(&group.environments));
    let _ = write!(
        text,
        "  {name}:\n    runs-on: ubuntu-latest\n    strategy:\n      fail-fast: false\n      matrix:\n        shard: [{slices}]\n"
    );
    write_secrets(text, &group.environments);
    write_setup(text, &group.environments);
    let _ = write!(
        text,
        "      - id: cache\n        run: envo cache key -e {names} >> \"$GITHUB_OUTPUT\"\n\
         \x20     - uses: actions/cache@v4\n        with:\n          path: .tox\n\
         \x20         key: ${{{{ steps.cache.outputs.key }}}}-{name}-${{{{ matrix.shard }}}}\n\
         \x20         restore-keys: ${{{{ steps.cache.outputs.key }}}}-{name}-\n\
         \x20     - run: envo run -e {names} --shard ${{{{ matrix.shard }}}}/{total} --result-json results/{name}-${{{{ matrix.shard }}}}.json\n\
         \x20     - uses: actions/upload-artifact@v4\n        if: always()\n        with:\n\
         \x20         name: results-{name}-${{{{ matrix.shard }}}}\n          path: results\n"
    );
}

/// Values stay where they are: a job refers to them by name.
fn write_secrets(text: &mut String, environments: &[ExportedEnv]) {
    let secrets: BTreeSet<&String> = environments.iter().flat_map(|environment| &environment.secrets).collect();
    if !secrets.is_empty() {
        text.push_str("    env:\n");
    }
    for name in secrets {
        let _ = writeln!(text, "      {name}: ${{{{ secrets.{name} }}}}");
    }
}

fn write_setup(text: &mut String, environments: &[ExportedEnv]) {
    text.push_str("    steps:\n      - uses: actions/checkout@v4\n      - uses: actions/setup-python@v5\n        with:\n          python-version: |\n");
    for version in pythons(environments) {
        let _ = writeln!(text, "            {version}");
    }
    text.push_str("      - run: pip install envo-run\n");
}

/// The job that runs what comes last, and merges all results.
fn write_results(text: &mut String, project: &ExportedProject, needs: &[&str]) {
    let _ =
        write!(text, "  results:\n    if: always()\n    needs: [{}]\n    runs-on: ubuntu-latest\n", needs.join(", "));
    write_secrets(text, &project.after);
    write_setup(text, &project.after);
    text.push_str(
        "      - uses: actions/download-artifact@v4\n        with:\n          pattern: results-*\n          path: results\n          merge-multiple: true\n",
    );
    if !project.after.is_empty() {
        let names = selection(env_names(&project.after));
        // Its failure is one of the merged results.
        let _ = write!(
            text,
            "      - run: envo run -e {names} --shard 1/1 --result-json results/after.json\n        continue-on-error: true\n"
        );
    }
    let all = selection(&project.all);
    let _ = writeln!(text, "      - run: envo merge results/*.json --summary github --expect {all}");
}
