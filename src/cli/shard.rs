//! Reads `--shard`, and the variables in which CI services and schedulers count their jobs.

use crate::cli::options::Shard;
use crate::model::EnvVariables;

/// A scheduler's variables: index, total, and the number of the first index.
struct ShardVariables {
    name: &'static str,
    index: &'static str,
    total: &'static str,
    first: usize,
}

/// The innermost scheduler first: a job of one may run inside a job of the next.
const SCHEDULERS: [ShardVariables; 4] = [
    ShardVariables { name: "Kubernetes", index: "JOB_COMPLETION_INDEX", total: "JOB_COMPLETIONS", first: 0 },
    ShardVariables { name: "GitLab CI", index: "CI_NODE_INDEX", total: "CI_NODE_TOTAL", first: 1 },
    ShardVariables { name: "CircleCI", index: "CIRCLE_NODE_INDEX", total: "CIRCLE_NODE_TOTAL", first: 0 },
    ShardVariables {
        name: "Buildkite",
        index: "BUILDKITE_PARALLEL_JOB",
        total: "BUILDKITE_PARALLEL_JOB_COUNT",
        first: 0,
    },
];

/// The most slices, so that a slip of the finger does not take all memory.
const MOST_SLICES: usize = 100_000;

/// The slice that the value of `--shard` means: `2/5`, `auto`, or `auto/5` if the scheduler counts only the index.
pub fn parse(text: &str, variables: &EnvVariables) -> Result<Shard, String> {
    if text == "auto" {
        return of_scheduler(variables, None);
    }
    let malformed = || format!("`{text}` is not K/N, such as 2/5, and not auto");
    let (index, total) = text.split_once('/').ok_or_else(malformed)?;
    let total = number(total).ok_or_else(malformed)?;
    if index == "auto" {
        return of_scheduler(variables, Some(total));
    }
    checked(number(index).ok_or_else(malformed)?, total).map_err(|reason| format!("`{text}`: {reason}"))
}

/// Digits only: `+1` is a number for Rust.
fn number(text: &str) -> Option<usize> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn checked(index: usize, total: usize) -> Result<Shard, String> {
    match (index, total) {
        (_, 0) => Err("there must be at least one slice".to_owned()),
        (0, _) => Err("slices are counted from 1".to_owned()),
        _ if index > total => Err(format!("slice {index} is beyond the last of {total}")),
        _ if total > MOST_SLICES => Err(format!("there may be at most {MOST_SLICES} slices")),
        _ => Ok(Shard { index, total }),
    }
}

fn of_scheduler(variables: &EnvVariables, total: Option<usize>) -> Result<Shard, String> {
    let read = |name: &str| -> Result<Option<usize>, String> {
        let Some(text) = variables.text(name).filter(|text| !text.is_empty()) else { return Ok(None) };
        number(&text).map(Some).ok_or_else(|| format!("auto: the variable {name} is `{text}`, not a number"))
    };
    if let Some(shard) = of_slurm(&read, total)? {
        return Ok(shard);
    }
    for scheduler in &SCHEDULERS {
        let ShardVariables { name, index, total: total_name, first } = scheduler;
        let known_total = match total {
            Some(total) => Some(total),
            None => read(total_name)?,
        };
        let (number, total) = match (read(index)?, known_total) {
            (Some(number), Some(total)) => (number, total),
            (Some(_), None) => {
                return Err(format!(
                    "auto: {name} sets {index}, but {total_name} is not set; write auto/N with the number of slices"
                ));
            }
            // A job that is not split: GitLab sets the total alone.
            (None, Some(1)) if total.is_none() => return Ok(Shard { index: 1, total: 1 }),
            (None, _) => continue,
        };
        let reason = |reason| format!("auto: {name} sets {index}={number} and the total is {total}: {reason}");
        // Counted from zero, index 0 is the first slice; counted from one, no slice has it.
        return checked((number + 1).saturating_sub(*first), total).map_err(reason);
    }
    let names: Vec<&str> = SCHEDULERS.iter().map(|scheduler| scheduler.index).collect();
    Err(format!("auto: none of the variables SLURM_ARRAY_TASK_ID, {} is set; write K/N", names.join(", ")))
}

/// The tasks of a Slurm array may begin anywhere and have gaps of equal size.
fn of_slurm(
    read: &impl Fn(&str) -> Result<Option<usize>, String>,
    total: Option<usize>,
) -> Result<Option<Shard>, String> {
    let Some(id) = read("SLURM_ARRAY_TASK_ID")? else { return Ok(None) };
    let first = read("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
    let step = read("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1);
    let last = read("SLURM_ARRAY_TASK_MAX")?;
    let counted = last.and_then(|last| Some(last.checked_sub(first)? / step + 1));
    let count = match total {
        Some(total) => Some(total),
        None => read("SLURM_ARRAY_TASK_COUNT")?.or(counted),
    };
    let Some(total) = count else {
        return Err("auto: Slurm sets SLURM_ARRAY_TASK_ID, but SLURM_ARRAY_TASK_COUNT is not set".to_owned());
    };
    let at = id.checked_sub(first).filter(|distance| distance % step == 0).map(|distance| distance / step + 1);
    let shard = at.ok_or_else(|| "it is not one of the array's".to_owned()).and_then(|index| checked(index, total));
    shard.map(Some).map_err(|reason| format!("auto: Slurm's task {id} of {total}: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auto(text: &str, variables: &[(&str, &str)]) -> Result<(usize, usize), String> {
        let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        parse(text, &variables).map(|shard| (shard.index, shard.total))
    }

    #[test]
    fn a_slice_is_written_as_its_number_and_their_number() {
        assert_eq!(auto("2/5", &[]), Ok((2, 5)));
        for text in ["", "2", "0/3", "4/3", "1/0", "0/0", "a/b", "-1/3", "+1/3", "1/3/5", "1.0/2", " 1/2", "1/999999"] {
            assert!(auto(text, &[]).is_err(), "{text}");
        }
    }

    #[test]
    fn every_scheduler_counts_in_its_own_way() {
        assert_eq!(auto("auto", &[("CI_NODE_INDEX", "1"), ("CI_NODE_TOTAL", "3")]), Ok((1, 3)));
        assert_eq!(auto("auto", &[("CI_NODE_TOTAL", "1")]), Ok((1, 1)));
        assert_eq!(auto("auto", &[("CIRCLE_NODE_INDEX", "0"), ("CIRCLE_NODE_TOTAL", "3")]), Ok((1, 3)));
        let buildkite = [("BUILDKITE_PARALLEL_JOB", "2"), ("BUILDKITE_PARALLEL_JOB_COUNT", "3")];
        assert_eq!(auto("auto", &buildkite), Ok((3, 3)));
        assert_eq!(auto("auto/4", &[("JOB_COMPLETION_INDEX", "3")]), Ok((4, 4)));
        assert_eq!(auto("auto", &[("JOB_COMPLETION_INDEX", "0"), ("JOB_COMPLETIONS", "2")]), Ok((1, 2)));
    }

    #[test]
    fn an_array_of_slurm_may_begin_anywhere_and_have_gaps() {
        let slurm = |id, min, step, count| {
            auto(
                "auto",
                &[
                    ("SLURM_ARRAY_TASK_ID", id),
                    ("SLURM_ARRAY_TASK_MIN", min),
                    ("SLURM_ARRAY_TASK_STEP", step),
                    ("SLURM_ARRAY_TASK_COUNT", count),
                ],
            )
        };
        assert_eq!(slurm("0", "0", "1", "7"), Ok((1, 7)));
        assert_eq!(slurm("9", "5", "2", "4"), Ok((3, 4)));
        assert!(slurm("6", "5", "2", "4").is_err() && slurm("13", "5", "2", "4").is_err());
    }

    #[test]
    fn variables_without_sense_are_named() {
        let reason = auto("auto", &[("CI_NODE_INDEX", "x"), ("CI_NODE_TOTAL", "3")]).unwrap_err();
        assert!(reason.contains("CI_NODE_INDEX is `x`"), "{reason}");
        assert!(auto("auto", &[]).unwrap_err().contains("SLURM_ARRAY_TASK_ID"));
        assert!(auto("auto", &[("JOB_COMPLETION_INDEX", "3")]).unwrap_err().contains("auto/N"));
        assert!(auto("auto", &[("CI_NODE_INDEX", "0"), ("CI_NODE_TOTAL", "3")]).is_err());
        assert!(auto("auto", &[("CI_NODE_INDEX", "4"), ("CI_NODE_TOTAL", "3")]).is_err());
    }
}
