//! A job array for Slurm. <https://slurm.schedmd.com/job_array.html>

use super::{ExportedFile, ExportedProject, PER_SLICE, env_names, selection};
use crate::error::ConfigError;

const PATH: &str = "envo.slurm";

pub(super) fn render(project: &ExportedProject) -> Result<ExportedFile, ConfigError> {
    project.ensure_environments()?;
    let environments: Vec<_> = project.groups.iter().flat_map(|group| &group.environments).collect();
    let total = environments.len().div_ceil(PER_SLICE).max(1);
    let names = selection(project.all.iter().filter(|name| environments.iter().any(|one| one.name == **name)));
    let after = match project.after.is_empty() {
        true => String::new(),
        false => {
            let names = selection(env_names(&project.after));
            format!("#   envo run -e {names} --shard 1/1 --result-json results/after.json\n")
        }
    };
    // A task that runs again on another node must not share a folder with what the lost node may still be doing.
    let text = format!(
        "#!/bin/sh\n{}#\n# Run in the project's folder, which all nodes must see:\n#   sbatch --wait envo.slurm\n{after}\
         #   envo merge results/*.json --expect {}\n\
         #SBATCH --job-name=envo\n#SBATCH --array=1-{total}\n#SBATCH --requeue\nset -eu\n\
         work=\".tox/slurm/$SLURM_ARRAY_TASK_ID-${{SLURM_RESTART_COUNT:-0}}\"\n\
         exec envo run -e {names} --shard auto --workdir \"$work\" \\\n  --result-json \"results/$SLURM_ARRAY_TASK_ID.json\"\n",
        project.header(),
        selection(&project.all),
    );
    Ok(ExportedFile { path: PATH.to_owned(), text })
}
