//! Divides environments into slices that run on different machines. Every machine computes the same slices from the same
//! configuration.

use std::collections::{BTreeMap, BTreeSet};

use super::Plan;
use crate::cli::options::Balance;
use crate::error::ConfigError;
use crate::settings::service_keys;

/// An environment is left to `--after-shards` if it depends on this part of the others, in hundredths. Less than all, so
/// that a `coverage` environment is left although it does not depend on `lint`.
const MOST: usize = 75;

/// Environments in slices. Numbers are positions in the list that was divided.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Slices {
    pub slices: Vec<Vec<usize>>,
    /// The environments that depend on most of the others, and so run after all slices.
    pub after: Vec<usize>,
}

/// The environments to divide.
#[derive(Debug, Clone, Copy)]
pub struct Divided<'a> {
    pub names: &'a [String],
    /// For each the positions of those that it runs after.
    pub depends: &'a [Vec<usize>],
    /// The seconds that they take, as far as they are known.
    pub seconds: &'a BTreeMap<String, f64>,
}

impl Plan {
    /// For each of `names` the positions of those that it depends on. Services are left out: each slice starts its own.
    pub fn depends_within(&self, names: &[String]) -> Result<Vec<Vec<usize>>, ConfigError> {
        let order = super::graph::run_order(&self.depends(names)?);
        // A cycle is reported when the order is needed.
        let Ok(order) = order else { return Ok(vec![Vec::new(); names.len()]) };
        let position: BTreeMap<&str, usize> = names.iter().enumerate().map(|(at, name)| (name.as_str(), at)).collect();
        let needed: BTreeSet<&String> = order.waits_for.values().flatten().collect();
        let mut services = BTreeSet::new();
        for name in needed {
            if service_keys(&self.settings, &self.settings.environment(name))?.contains(&"serve") {
                services.insert(name);
            }
        }
        let positions = |name: &String| {
            let waits = order.waits_for.get(name).into_iter().flatten();
            let mut found: Vec<usize> =
                waits.filter(|name| !services.contains(name)).map(|name| position[name.as_str()]).collect();
            found.sort_unstable();
            found
        };
        Ok(names.iter().map(positions).collect())
    }
}

impl Divided<'_> {
    /// Divides into `total` slices. Environments that depend on each other are in the same slice.
    pub fn slices(&self, total: usize, balance: Balance) -> Slices {
        let after = self.after();
        let groups = self.groups(&after);
        let mut slices = vec![Vec::new(); total];
        let placed: Vec<usize> = match balance {
            Balance::Hash => groups.iter().map(|group| rendezvous(self.key(group), total)).collect(),
            Balance::Count => balanced(&groups.iter().map(|group| group.len() as f64).collect::<Vec<_>>(), total),
            Balance::Time => {
                let seconds = self.all_seconds();
                let weight = |group: &Vec<usize>| group.iter().map(|at| seconds[*at]).sum();
                balanced(&groups.iter().map(weight).collect::<Vec<f64>>(), total)
            }
        };
        for (group, slice) in groups.iter().zip(placed) {
            slices[slice].extend(group);
        }
        // As selected, which decides about the order in which they run.
        slices.iter_mut().for_each(|slice| slice.sort_unstable());
        Slices { slices, after: (0..self.names.len()).filter(|at| after[*at]).collect() }
    }

    /// Environments that depend on each other, without those that run after all slices.
    pub fn dependent_groups(&self) -> Vec<Vec<usize>> {
        self.groups(&self.after())
    }

    /// The environments that would join most of the others in one slice.
    fn after(&self) -> Vec<bool> {
        let mut after: Vec<bool> = self.depends.iter().map(|depends| !depends.is_empty()).collect();
        if !after.contains(&true) {
            return after;
        }
        let closures = self.closures();
        loop {
            let others = after.iter().filter(|left| !**left).count();
            let reaches_most = |at: usize| {
                let reached = closures[at].iter().filter(|other| !after[**other]).count();
                reached * 100 >= others * MOST
            };
            let kept: Vec<bool> = (0..after.len()).map(|at| after[at] && reaches_most(at)).collect();
            if kept == after {
                break;
            }
            after = kept;
        }
        // Whether something follows it or not: what depends on it cannot be in a slice either.
        for at in 0..after.len() {
            after[at] = after[at] || closures[at].iter().any(|other| after[*other]);
        }
        // Nothing is gained where the others are one group.
        if self.groups(&after).len() < 2 { vec![false; after.len()] } else { after }
    }

    /// For each environment all that it depends on, directly or not.
    fn closures(&self) -> Vec<BTreeSet<usize>> {
        let mut closures: Vec<Option<BTreeSet<usize>>> = vec![None; self.names.len()];
        for start in 0..self.names.len() {
            let mut open = vec![start];
            while let Some(at) = open.last().copied() {
                let missing: Vec<usize> =
                    self.depends[at].iter().copied().filter(|on| closures[*on].is_none()).collect();
                if closures[at].is_some() || missing.is_empty() {
                    open.pop();
                    let found = self.depends[at]
                        .iter()
                        .flat_map(|on| closures[*on].iter().flatten().copied().chain([*on]).collect::<Vec<_>>());
                    let found = found.collect();
                    closures[at].get_or_insert(found);
                } else {
                    open.extend(missing);
                }
            }
        }
        closures.into_iter().map(Option::unwrap_or_default).collect()
    }

    /// Environments that depend on each other, directly or not, in the order of their first.
    fn groups(&self, left_out: &[bool]) -> Vec<Vec<usize>> {
        let mut leader: Vec<usize> = (0..self.names.len()).collect();
        fn find(leader: &mut [usize], mut at: usize) -> usize {
            while leader[at] != at {
                leader[at] = leader[leader[at]];
                at = leader[at];
            }
            at
        }
        for (at, depends) in self.depends.iter().enumerate().filter(|(at, _)| !left_out[*at]) {
            for on in depends.iter().filter(|on| !left_out[**on]) {
                let (one, other) = (find(&mut leader, at), find(&mut leader, *on));
                leader[one.max(other)] = one.min(other);
            }
        }
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for at in (0..self.names.len()).filter(|at| !left_out[*at]) {
            groups.entry(find(&mut leader, at)).or_default().push(at);
        }
        groups.into_values().collect()
    }

    /// The name that decides where a group goes: the first of those that depend on nothing, so that a new environment
    /// that depends on them moves nothing.
    fn key(&self, group: &[usize]) -> &str {
        let roots = group.iter().filter(|at| self.depends[**at].is_empty()).map(|at| self.names[*at].as_str());
        roots.min().unwrap_or_default()
    }

    /// The seconds of each; the median of the known ones for the others.
    fn all_seconds(&self) -> Vec<f64> {
        let known = |name: &String| self.seconds.get(name).copied();
        let mut sorted: Vec<f64> = self.names.iter().filter_map(known).collect();
        sorted.sort_by(f64::total_cmp);
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or(1.0);
        self.names.iter().map(|name| known(name).unwrap_or(median)).collect()
    }
}

/// Gives each weight, the greatest first, to the slice that has the least so far.
fn balanced(weights: &[f64], total: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|one, other| weights[*other].total_cmp(&weights[*one]).then(one.cmp(other)));
    let mut loads = vec![(0.0_f64, 0_usize); total];
    let mut placed = vec![0; weights.len()];
    for at in order {
        let by_load = |one: &usize, other: &usize| {
            let ((weight, count), (other_weight, other_count)) = (loads[*one], loads[*other]);
            weight.total_cmp(&other_weight).then(count.cmp(&other_count))
        };
        let slice = (0..total).min_by(by_load).unwrap_or_default();
        loads[slice] = (loads[slice].0 + weights[at], loads[slice].1 + 1);
        placed[at] = slice;
    }
    placed
}

/// The slice with the highest score for this name (rendezvous hashing): another name, or one slice more, moves no
/// other name between the slices that were there.
fn rendezvous(name: &str, total: usize) -> usize {
    // FNV-1a, the same on every machine and in every version.
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let score = |slice: &usize| mixed(hash ^ mixed(*slice as u64 + 1));
    (0..total).max_by_key(score).unwrap_or_default()
}

/// The finalizer of SplitMix64: spreads every bit over all.
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BALANCES: [Balance; 3] = [Balance::Count, Balance::Hash, Balance::Time];

    #[derive(Debug)]
    struct Graph {
        names: Vec<String>,
        depends: Vec<Vec<usize>>,
        seconds: BTreeMap<String, f64>,
    }

    impl Graph {
        fn new(edges: &[(&str, &[&str])]) -> Self {
            let names: Vec<String> = edges.iter().map(|(name, _)| (*name).to_owned()).collect();
            let at = |name: &&str| names.iter().position(|one| one == name).unwrap();
            let depends = edges.iter().map(|(_, depends)| depends.iter().map(at).collect()).collect();
            Self { names, depends, seconds: BTreeMap::new() }
        }

        fn divided(&self) -> Divided<'_> {
            Divided { names: &self.names, depends: &self.depends, seconds: &self.seconds }
        }

        fn slices(&self, total: usize, balance: Balance) -> Slices {
            self.divided().slices(total, balance)
        }

        fn named(&self, slice: &[usize]) -> Vec<&str> {
            slice.iter().map(|at| self.names[*at].as_str()).collect()
        }
    }

    #[test]
    fn environments_that_depend_on_each_other_stay_together() {
        let graph = Graph::new(&[("a", &[]), ("b", &[]), ("c", &["a"]), ("d", &[]), ("e", &[])]);
        let slices = graph.slices(2, Balance::Count);
        assert_eq!(graph.named(&slices.slices[0]), ["a", "c", "e"]);
        assert_eq!(graph.named(&slices.slices[1]), ["b", "d"]);
        assert!(slices.after.is_empty());
    }

    #[test]
    fn what_depends_on_most_of_the_others_runs_after_them() {
        let all: &[&str] = &["a", "b", "c", "d"];
        let graph = Graph::new(&[
            ("a", &[]),
            ("b", &[]),
            ("c", &[]),
            ("d", &[]),
            ("lint", &[]),
            ("cov", all),
            ("up", &["cov"]),
        ]);
        let slices = graph.slices(5, Balance::Count);
        assert_eq!(graph.named(&slices.after), ["cov", "up"]);
        assert!(slices.slices.iter().all(|slice| slice.len() == 1));
        // Two reports that both depend on all.
        let graph = Graph::new(&[("a", &[]), ("b", &[]), ("xml", &["a", "b"]), ("html", &["a", "b"])]);
        assert_eq!(graph.named(&graph.slices(2, Balance::Hash).after), ["xml", "html"]);
    }

    #[test]
    fn a_chain_is_one_slice() {
        let graph = Graph::new(&[("a", &[]), ("b", &["a"]), ("c", &["b"])]);
        let slices = graph.slices(3, Balance::Count);
        assert_eq!(slices.slices, [vec![0, 1, 2], vec![], vec![]]);
        assert!(slices.after.is_empty());
    }

    #[test]
    fn long_environments_are_placed_first_and_new_ones_take_the_median() {
        let mut graph = Graph::new(&[("a", &[]), ("b", &[]), ("long", &[]), ("new", &[])]);
        graph.seconds = [("a", 10.0), ("b", 11.0), ("long", 30.0)].map(|(name, time)| (name.to_owned(), time)).into();
        let slices = graph.slices(2, Balance::Time);
        assert_eq!(graph.named(&slices.slices[0]), ["long"]);
        assert_eq!(graph.named(&slices.slices[1]), ["a", "b", "new"]);
    }

    #[test]
    fn counts_differ_by_one_at_most_between_single_environments() {
        let graph = Graph {
            names: (0..1000).map(|number| format!("e{number}")).collect(),
            depends: vec![Vec::new(); 1000],
            seconds: BTreeMap::new(),
        };
        for total in 1..=50 {
            let sizes: Vec<usize> = graph.slices(total, Balance::Count).slices.iter().map(Vec::len).collect();
            assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{total}: {sizes:?}");
        }
    }

    /// Names and, for each, some of the earlier ones.
    fn graphs() -> impl Strategy<Value = Graph> {
        let edges = prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..3), 1..60);
        (edges, any::<bool>(), 0..4_usize).prop_map(|(edges, with_last, sparse)| {
            let pick = |(at, picks): (usize, &Vec<prop::sample::Index>)| {
                let mut depends: Vec<usize> = match at % (sparse + 1) == sparse && at > 0 {
                    true => picks.iter().map(|pick| pick.index(at)).collect(),
                    false => Vec::new(),
                };
                depends.sort_unstable();
                depends.dedup();
                depends
            };
            let mut depends: Vec<Vec<usize>> = edges.iter().enumerate().map(pick).collect();
            if with_last {
                depends.push((0..depends.len()).collect());
            }
            let names: Vec<String> = (0..depends.len()).map(|at| format!("py3{}-{at}", at % 7)).collect();
            let seconds = names.iter().step_by(3).map(|name| (name.clone(), name.len() as f64)).collect();
            Graph { names, depends, seconds }
        })
    }

    proptest! {
        #[test]
        fn slices_are_disjoint_complete_and_closed(graph in graphs(), total in 1..=50_usize) {
            for balance in BALANCES {
                let slices = graph.slices(total, balance);
                prop_assert_eq!(slices.slices.len(), total);
                let mut all: Vec<usize> = slices.slices.iter().flatten().chain(&slices.after).copied().collect();
                all.sort_unstable();
                prop_assert_eq!(&all, &(0..graph.names.len()).collect::<Vec<_>>());
                for slice in &slices.slices {
                    for at in slice {
                        prop_assert!(graph.depends[*at].iter().all(|on| slice.contains(on)));
                    }
                }
                prop_assert_eq!(graph.slices(total, balance), slices);
            }
        }

        #[test]
        fn with_hash_another_environment_moves_nothing(
            mut names in prop::collection::btree_set("[a-z]{1,3}-py3[0-9]{1,2}", 2..80),
            total in 1..=50_usize,
        ) {
            let slice_of = |names: &BTreeSet<String>| {
                let names: Vec<String> = names.iter().cloned().collect();
                let graph = Graph { depends: vec![Vec::new(); names.len()], names, seconds: BTreeMap::new() };
                let slices = graph.slices(total, Balance::Hash).slices;
                let pairs = slices.iter().enumerate().flat_map(|(at, slice)| slice.iter().map(move |one| (*one, at)));
                pairs.map(|(one, at)| (graph.names[one].clone(), at)).collect::<BTreeMap<String, usize>>()
            };
            let before = slice_of(&names);
            names.insert("new".to_owned());
            let after = slice_of(&names);
            prop_assert!(before.iter().all(|(name, slice)| after[name] == *slice));
        }
    }

    #[test]
    fn hashes_spread_names_over_all_slices() {
        let counts = (0..4000).fold([0; 8], |mut counts, number| {
            counts[rendezvous(&format!("py311-lib{number}"), 8)] += 1;
            counts
        });
        assert!(counts.iter().all(|count| (400..600).contains(count)), "{counts:?}");
    }
}
