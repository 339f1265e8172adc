//! Chooses a part of the selected environments: one slice, or those that run after all slices.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::cli::options::{Balance, Options, Shard, SlicePart};
use crate::commands::changes::changes;
use crate::digest::sha256;
use crate::error::ConfigError;
use crate::plan::Plan;
use crate::plan::affected::AffectedEnv;
use crate::plan::shard::Divided;
use crate::run_record::{Durations, RunRecords};
use crate::slice_result::{self, SliceResult};

/// The environments to run or list.
pub(super) struct Choice {
    pub(super) names: Vec<String>,
    /// The slice that they are; `None`: they are not divided.
    pub(super) slice: Option<ChosenSlice>,
    /// With `--affected`: for each selected environment whether it is affected.
    pub(super) affected: Vec<AffectedEnv>,
    /// Why there may be no environments left.
    narrowed: Option<String>,
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
    let mut choice = Choice::everything(selected);
    let recent = &options.selection.recent;
    if let Some(watched) = &recent.watched {
        choice.names.retain(|name| watched.contains(name));
        return Ok(choice);
    }
    if recent.last_failed {
        let records = RunRecords::read(&plan.project()?.work_dir);
        choice.names.retain(|name| records.failed(name));
        choice.narrowed = Some("no selected environment failed when it last ran".to_owned());
    }
    if recent.affected && !choice.names.is_empty() {
        let (changes, base) = changes(options, plan, recent.base.as_deref())?;
        choice.affected = plan.affected(&changes, &choice.names)?;
        choice.names = choice.affected.iter().filter(|one| one.affected).map(|one| one.name.clone()).collect();
        choice.narrowed = Some(format!("no selected environment is affected by the changes since {base}"));
    }
    choice.divide(options, plan)
}

impl Choice {
    /// All selected environments.
    pub(super) fn everything(names: Vec<String>) -> Self {
        Self { names, slice: None, affected: Vec::new(), narrowed: None }
    }

    /// Whether only a part of the selected environments is meant.
    pub(super) fn is_part(&self) -> bool {
        self.slice.is_some() || self.narrowed.is_some()
    }

    /// Takes the slice that is asked for.
    fn divide(self, options: &Options, plan: &Plan) -> Result<Self> {
        let shard = match options.selection.slicing.part {
            SlicePart::Everything => return Ok(self),
            SlicePart::Slice(shard) => Some(shard),
            SlicePart::AfterShards => None,
        };
        let Self { names: selected, affected, narrowed, .. } = self;
        let depends = plan.depends_within(&selected)?;
        let seconds = seconds(options, plan)?;
        let divided = Divided { names: &selected, depends: &depends, seconds: &seconds };
        let slices = divided.slices(shard.map_or(1, |shard| shard.total), options.selection.slicing.balance);
        let named = |slice: &[usize]| slice.iter().map(|at| selected[*at].clone()).collect::<Vec<_>>();
        let after = named(&slices.after);
        let names = shard.map_or_else(|| after.clone(), |shard| named(&slices.slices[shard.index - 1]));
        Ok(Self { names, slice: Some(ChosenSlice { shard, selected, after }), affected, narrowed })
    }
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
    /// For each environment why it is taken or not.
    pub(super) fn explanation(&self) -> Vec<String> {
        let line = |one: &AffectedEnv| {
            let verdict = if one.affected { "affected" } else { "not affected" };
            format!("{}: {verdict}: {}", one.name, one.because)
        };
        self.affected.iter().map(line).collect()
    }

    /// A sentence that says why nothing is left; `None` if something is.
    pub(super) fn why_empty(&self) -> Option<String> {
        if !self.names.is_empty() {
            return None;
        }
        let Some(slice) = self.slice.as_ref().filter(|slice| !slice.selected.is_empty() || self.narrowed.is_none())
        else {
            return self.narrowed.clone();
        };
        Some(match slice.shard {
            Some(Shard { index, total }) => format!("slice {index}/{total} contains no environments"),
            None => "no environments are left to run after the slices".to_owned(),
        })
    }
}
