//! The options for slices and the format of `list`.

use super::{OptionsResolver, absolute, environment_names};
use crate::cli::UsageError;
use crate::cli::arguments::{BALANCES, LIST_FORMATS, SUMMARIES};
use crate::cli::convert::TEXT;
use crate::cli::options::{
    ActivationOptions, Balance, CacheAction, CacheOptions, ExportOptions, FanoutOptions, ListFormat, ListOptions,
    MergeOptions, RecentChoice, SlicePart, Slicing, SubmitOptions, SummaryFormat,
};
use crate::cli::shard;

impl OptionsResolver<'_> {
    pub(super) fn slicing(&self) -> Result<Slicing, UsageError> {
        let shard = self.typed("shard").map(str::to_owned).or_else(|| self.default("shard", &TEXT));
        let part = match shard.filter(|text| self.is_typed("shard") || !text.is_empty()) {
            Some(text) => {
                let shard = shard::parse(&text, &self.context.variables);
                SlicePart::Slice(shard.map_err(|reason| self.problem("shard", &reason))?)
            }
            None if self.flag("after_shards", false) => SlicePart::AfterShards,
            None => SlicePart::Everything,
        };
        Ok(Slicing {
            part,
            balance: match self.choice("balance", &BALANCES).as_deref() {
                Some("hash") => Balance::Hash,
                Some("time") => Balance::Time,
                _ => Balance::Count,
            },
            durations: self.typed("durations").map(|path| absolute(&self.context.current_dir, path)),
        })
    }

    pub(super) fn recent_choice(&self) -> Result<RecentChoice, UsageError> {
        let affected = self.flag("affected", false);
        for id in ["affected_base", "affected_explain"] {
            if !affected && self.is_typed(id) {
                return Err(self.problem(id, "only allowed with --affected"));
            }
        }
        Ok(RecentChoice {
            last_failed: self.flag("last_failed", false),
            affected,
            base: self.typed("affected_base").map(str::to_owned),
            explain: self.is_typed("affected_explain"),
            watched: self.watched_run(),
        })
    }

    pub(super) fn fanout_options(&self) -> FanoutOptions {
        let path = |path: &str| absolute(&self.context.current_dir, path);
        FanoutOptions {
            merge: MergeOptions {
                files: self.all_typed("merge_files").iter().map(|file| path(file)).collect(),
                summary: match self.choice("merge_summary", &SUMMARIES).as_deref() {
                    Some("github") => SummaryFormat::Github,
                    _ => SummaryFormat::Text,
                },
                expected: self.all_typed("merge_expected").iter().flat_map(|text| environment_names(text)).collect(),
                durations: self.typed("merge_durations").map(path),
            },
            cache: CacheOptions {
                action: match self.typed("cache_action") {
                    Some("size") => CacheAction::Size,
                    Some("prune") => CacheAction::Prune,
                    _ => CacheAction::Key,
                },
                ci: self.is_typed("cache_ci"),
            },
            export: ExportOptions {
                target: self.typed("export_target").unwrap_or_default().to_owned(),
                write: self.is_typed("export_write"),
                check: self.is_typed("export_check"),
            },
            submit: SubmitOptions {
                shards: self.typed("submit_shards").map(str::to_owned),
                partition: self.typed("submit_partition").map(str::to_owned),
            },
        }
    }

    pub(super) fn activation_options(&self) -> ActivationOptions {
        ActivationOptions {
            shell: self.typed("hook_shell").unwrap_or_default().to_owned(),
            format: self.typed("env_format").unwrap_or_default().to_owned(),
            show: self.is_typed("allow_show"),
        }
    }

    pub(super) fn list_options(&self) -> ListOptions {
        ListOptions {
            no_description: self.flag("list_no_description", false),
            default_only: self.flag("list_default_only", false),
            no_fallback: false,
            format: match self.choice("list_format", &LIST_FORMATS).as_deref() {
                Some("json") => ListFormat::Json,
                Some("github") => ListFormat::Github,
                _ => ListFormat::Text,
            },
        }
    }
}
