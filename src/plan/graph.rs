//! In which order environments run: each after those it depends on, otherwise as selected.

use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};

use crate::python_text::glob;

/// An order and what each environment waits for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EnvOrder {
    pub names: Vec<String>,
    /// Environment → those of the selection it runs after.
    pub waits_for: BTreeMap<String, HashSet<String>>,
}

/// Orders environments, given with the globs of what they depend on.
pub fn run_order(selected: &[(String, Vec<String>)]) -> Result<EnvOrder, Vec<String>> {
    let position: HashMap<&str, usize> =
        selected.iter().enumerate().map(|(at, (name, _))| (name.as_str(), at)).collect();
    let waits_for: Vec<HashSet<usize>> = selected
        .iter()
        .enumerate()
        .map(|(at, (_, depends))| {
            let mut found: HashSet<usize> =
                depends.iter().flat_map(|pattern| matching(pattern, selected, &position)).collect();
            found.remove(&at);
            found
        })
        .collect();
    let name = |at: usize| selected[at].0.clone();
    let order = sort(&waits_for).ok_or_else(|| cycle(&waits_for).into_iter().map(name).collect::<Vec<_>>())?;
    Ok(EnvOrder {
        names: order.into_iter().map(name).collect(),
        waits_for: waits_for
            .into_iter()
            .enumerate()
            .map(|(at, waits)| (name(at), waits.into_iter().map(name).collect()))
            .collect(),
    })
}

fn matching(pattern: &str, selected: &[(String, Vec<String>)], position: &HashMap<&str, usize>) -> Vec<usize> {
    if !glob::is_pattern(pattern) {
        return position.get(pattern).copied().into_iter().collect();
    }
    let fits = |(_, (name, _)): &(usize, &(String, Vec<String>))| glob::matches(pattern, name);
    selected.iter().enumerate().filter(fits).map(|(at, _)| at).collect()
}

/// The first node, in the given order, of all that wait for nothing any more, again and again.
fn sort(waits_for: &[HashSet<usize>]) -> Option<Vec<usize>> {
    let mut waiting: Vec<usize> = waits_for.iter().map(HashSet::len).collect();
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); waits_for.len()];
    for (at, waits) in waits_for.iter().enumerate() {
        waits.iter().for_each(|on| dependents[*on].push(at));
    }
    let mut ready: BinaryHeap<std::cmp::Reverse<usize>> =
        (0..waits_for.len()).filter(|at| waiting[*at] == 0).map(std::cmp::Reverse).collect();
    let mut order = Vec::with_capacity(waits_for.len());
    while let Some(std::cmp::Reverse(at)) = ready.pop() {
        order.push(at);
        for dependent in &dependents[at] {
            waiting[*dependent] -= 1;
            if waiting[*dependent] == 0 {
                ready.push(std::cmp::Reverse(*dependent));
            }
        }
    }
    (order.len() == waits_for.len()).then_some(order)
}

/// The nodes of one circle, in walking order, found without recursion.
fn cycle(waits_for: &[HashSet<usize>]) -> Vec<usize> {
    let mut visited = vec![false; waits_for.len()];
    let mut is_on_path = vec![false; waits_for.len()];
    for start in 0..waits_for.len() {
        let mut path: Vec<usize> = Vec::new();
        let mut branches: Vec<Vec<usize>> = Vec::new();
        let mut next = Some(start);
        loop {
            if let Some(at) = next.take() {
                if is_on_path[at] {
                    let begin = path.iter().position(|one| *one == at).unwrap_or_default();
                    return path.split_off(begin);
                }
                if !visited[at] {
                    visited[at] = true;
                    is_on_path[at] = true;
                    path.push(at);
                    let mut neighbours: Vec<usize> = waits_for[at].iter().copied().collect();
                    neighbours.sort_unstable_by(|one, other| other.cmp(one));
                    branches.push(neighbours);
                }
            }
            match branches.last_mut() {
                None => break,
                Some(left) => match left.pop() {
                    Some(neighbour) => next = Some(neighbour),
                    None => {
                        branches.pop();
                        path.pop().into_iter().for_each(|at| is_on_path[at] = false);
                    }
                },
            }
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(graph: &[(&str, &[&str])]) -> Result<Vec<String>, Vec<String>> {
        let owned: Vec<(String, Vec<String>)> = graph
            .iter()
            .map(|(name, depends)| ((*name).to_owned(), depends.iter().map(|one| (*one).to_owned()).collect()))
            .collect();
        run_order(&owned).map(|order| order.names)
    }

    #[test]
    fn environments_come_after_what_they_depend_on_and_else_as_given() {
        assert_eq!(order(&[("c", &["a"]), ("b", &[]), ("a", &[])]), Ok(vec!["b".into(), "a".into(), "c".into()]));
        assert_eq!(order(&[("x", &["py*"]), ("py1", &[]), ("py2", &[])]).expect("order")[2], "x");
        assert_eq!(order(&[("a", &["a", "gone"])]), Ok(vec!["a".into()]));
    }

    #[test]
    fn a_circle_is_named() {
        assert_eq!(order(&[("c", &["a"]), ("a", &["b"]), ("b", &["a"])]), Err(vec!["a".into(), "b".into()]));
    }
}
