//! Chooses a part of the selected environments: one slice, or those that run after all slices.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::cli::options::{Balance, Options, Shard, SlicePart};
use crate::digest::sha256;
use crate::error::ConfigError;
use crate::plan::Plan;
use crate::plan::shard::Divided;
use crate::run_record::{Durations, RunRecords};
use crate::slice_result::{self, SliceResult};

/// The environments to run or list.
pub(super) struct Choice {
    pub(super) names: Vec<String>,
    /// How they were chosen; `None`: all that were selected.
    pub(super) slice: Option<ChosenSlice>,
}

/// A part of the selected environments, for merging it with the others later.
pub(super) struct ChosenSlice {
    /// `None`: those that run after all slices.
    pub(super) shard: Option<Shard>,
    /// All environments that were divided.
    pub(super) selected: Vec<String>,
    /// Those of them that no slice contains.
    pub(super) after: Vec<String>,
}

/// Chooses among the `selected` environments.
pub(super) fn choose(options: &Options, plan: &Plan, selected: Vec<String>) -> Result<Choice> {
    let shard = match options.selection.slicing.part {
        SlicePart::Everything => return Ok(Choice { names: selected, slice: None }),
        SlicePart::Slice(shard) => Some(shard),
        SlicePart::AfterShards => None,
    };
    let depends = plan.depends_within(&selected)?;
    let seconds = seconds(options, plan)?;
    let divided = Divided { names: &selected, depends: &depends, seconds: &seconds };
    let slices = divided.slices(shard.map_or(1, |shard| shard.total), options.selection.slicing.balance);
    let named = |slice: &[usize]| slice.iter().map(|at| selected[*at].clone()).collect::<Vec<_>>();
    let after = named(&slices.after);
    let names = shard.map_or_else(|| after.clone(), |shard| named(&slices.slices[shard.index - 1]));
    Ok(Choice { names, slice: Some(ChosenSlice { shard, selected, after }) })
}

/// The durations that `--balance time` uses.
fn seconds(options: &Options, plan: &Plan) -> Result<BTreeMap<String, f64>> {
    let slicing = &options.selection.slicing;
    if let Some(path) = &slicing.durations {
        let durations = Durations::read(path).map_err(|reason| {
            let text = format!("the durations in {} cannot be used: {reason}", path.display());
            ConfigError::handled(text).hint("`envo merge RESULT... --durations FILE` writes such a file")
        })?;
        return Ok(durations.seconds);
    }
    if slicing.balance != Balance::Time {
        return Ok(BTreeMap::new());
    }
    Ok(RunRecords::read(&plan.project()?.work_dir).durations().seconds)
}

impl ChosenSlice {
    /// What the result file tells of it, before anything has run.
    pub(super) fn record(self, options: &Options, plan: &Plan, names: Vec<String>) -> SliceResult {
        let mut configuration = plan.settings.source.text.to_string();
        options.project.overrides.iter().for_each(|text| configuration.push_str(&format!("\n-x {text}")));
        SliceResult {
            version: slice_result::VERSION,
            shard: self.shard,
            configuration: sha256(configuration),
            selected: self.selected,
            after: self.after,
            names,
            fail_fast: options.run.fail_fast,
            results: Vec::new(),
            suites: Vec::new(),
        }
    }
}

impl Choice {
    /// A sentence that says why nothing is left; `None` if something is.
    pub(super) fn why_empty(&self) -> Option<String> {
        if !self.names.is_empty() {
            return None;
        }
        let slice = self.slice.as_ref()?;
        Some(match slice.shard {
            Some(Shard { index, total }) => format!("slice {index}/{total} contains no environments"),
            None => "no environments are left to run after the slices".to_owned(),
        })
    }
}
