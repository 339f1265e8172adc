//! Decides which environment runs next. Starts nothing and waits for nothing.
//!
//! As in tox, environments without dependencies queue in the order of the plan; the others join the end of the queue
//! when the last one they depend on is done, whether it succeeded or not.

use std::collections::{HashSet, VecDeque};

use crate::plan::graph::EnvOrder;

#[derive(Debug)]
pub struct EnvQueue {
    /// Not queued yet, each with the environments it still waits for.
    waiting: Vec<(String, HashSet<String>)>,
    line: VecDeque<String>,
    running: usize,
    /// How many may run in parallel.
    max_parallel: usize,
    closed: bool,
}

/// An environment that was never started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedEnv {
    pub name: String,
    /// Whether it could have run next.
    pub in_line: bool,
}

impl EnvQueue {
    pub fn new(order: EnvOrder, max_parallel: usize) -> Self {
        let EnvOrder { names, mut waits_for } = order;
        let waiting = names
            .into_iter()
            .map(|name| {
                let waits = waits_for.remove(&name).unwrap_or_default();
                (name, waits)
            })
            .collect();
        let mut queue =
            Self { waiting, line: VecDeque::new(), running: 0, max_parallel: max_parallel.max(1), closed: false };
        queue.line_up();
        queue
    }

    /// The next environment to start now, if any.
    pub fn next(&mut self) -> Option<String> {
        if self.closed || self.running >= self.max_parallel {
            return None;
        }
        let name = self.line.pop_front()?;
        self.running += 1;
        Some(name)
    }

    /// Marks a started environment as done.
    pub fn finish(&mut self, name: &str) {
        self.running = self.running.saturating_sub(1);
        for (_, waits) in &mut self.waiting {
            waits.remove(name);
        }
        self.line_up();
    }

    fn line_up(&mut self) {
        let line = &mut self.line;
        self.waiting.retain(|(name, waits)| {
            if waits.is_empty() {
                line.push_back(name.clone());
            }
            !waits.is_empty()
        });
    }

    /// Starts no more environments; returns the remaining ones in order. A second call returns none.
    pub fn close(&mut self) -> Vec<SkippedEnv> {
        self.closed = true;
        let line = std::mem::take(&mut self.line).into_iter().map(|name| SkippedEnv { name, in_line: true });
        let waiting =
            std::mem::take(&mut self.waiting).into_iter().map(|(name, _)| SkippedEnv { name, in_line: false });
        line.chain(waiting).collect()
    }

    /// Whether nothing is running and nothing is left to run.
    pub fn is_done(&self) -> bool {
        self.running == 0 && (self.closed || self.line.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(graph: &[(&str, &[&str])], max_parallel: usize) -> EnvQueue {
        let names = graph.iter().map(|(name, _)| (*name).to_owned()).collect();
        let waits_for = graph
            .iter()
            .map(|(name, waits)| ((*name).to_owned(), waits.iter().map(|one| (*one).to_owned()).collect()))
            .collect();
        EnvQueue::new(EnvOrder { names, waits_for }, max_parallel)
    }

    #[test]
    fn one_that_waited_joins_the_end_of_the_line() {
        let mut queue = queue(&[("a", &[]), ("c", &["a"]), ("b", &[])], 1);
        assert_eq!(queue.next().as_deref(), Some("a"));
        assert_eq!(queue.next(), None);
        queue.finish("a");
        assert_eq!(queue.next().as_deref(), Some("b"));
        queue.finish("b");
        assert_eq!(queue.next().as_deref(), Some("c"));
        assert!(!queue.is_done());
        queue.finish("c");
        assert!(queue.is_done());
    }

    #[test]
    fn at_most_max_parallel_run_at_once() {
        let mut queue = queue(&[("a", &[]), ("b", &[]), ("c", &[])], 2);
        assert_eq!([queue.next(), queue.next(), queue.next()], [Some("a".into()), Some("b".into()), None]);
        queue.finish("b");
        assert_eq!(queue.next().as_deref(), Some("c"));
    }

    #[test]
    fn a_closed_queue_tells_who_stood_in_line() {
        let mut queue = queue(&[("a", &[]), ("b", &[]), ("c", &["a"])], 1);
        queue.next();
        let left = |name: &str, in_line| SkippedEnv { name: name.into(), in_line };
        assert_eq!(queue.close(), [left("b", true), left("c", false)]);
        assert!(!queue.is_done());
        queue.finish("a");
        assert!(queue.is_done() && queue.next().is_none() && queue.close().is_empty());
    }
}
