//! Finds many patterns in one pass over text that arrives byte by byte (Aho and Corasick, 1975).

use std::collections::VecDeque;
use std::fmt;

use rustc_hash::FxHashMap;

use crate::redaction::encodings;

/// A state of the search: the longest beginning of a pattern that the text ends with.
pub type State = u32;

#[derive(Debug, Default)]
struct Node {
    /// The state for the longest proper suffix of this one's text.
    fallback: State,
    depth: u32,
    /// The length of the longest pattern that the text of this state ends with; 0: none.
    longest: u32,
}

/// The values to find, and the automaton that finds them.
#[derive(Default)]
pub struct Patterns {
    values: Vec<Vec<u8>>,
    nodes: Vec<Node>,
    edges: FxHashMap<(State, u8), State>,
}

/// Whether a byte is passed over: a value that a terminal or a program has wrapped is still that value.
pub fn is_skipped(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

impl fmt::Debug for Patterns {
    /// Without the values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Patterns({} values)", self.values.len())
    }
}

impl Patterns {
    /// These patterns and those of more values.
    pub fn with(&self, values: &[Vec<u8>]) -> Self {
        let mut all = self.values.clone();
        all.extend(values.iter().filter(|value| !self.values.contains(value)).cloned());
        let mut built = Self { nodes: vec![Node::default()], ..Self::default() };
        for value in &all {
            for form in encodings::forms(value) {
                built.insert(form.into_iter().filter(|byte| !is_skipped(*byte)));
            }
        }
        built.values = all;
        built.link();
        built
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn insert(&mut self, pattern: impl Iterator<Item = u8>) {
        let mut state = 0;
        for byte in pattern {
            state = match self.edges.get(&(state, byte)) {
                Some(next) => *next,
                None => {
                    let next = self.nodes.len() as State;
                    self.nodes.push(Node { depth: self.nodes[state as usize].depth + 1, ..Node::default() });
                    self.edges.insert((state, byte), next);
                    next
                }
            };
        }
        self.nodes[state as usize].longest = self.nodes[state as usize].depth;
    }

    /// Sets the fallbacks, the shortest texts first.
    fn link(&mut self) {
        let mut children: Vec<Vec<(u8, State)>> = vec![Vec::new(); self.nodes.len()];
        for (&(parent, byte), &child) in &self.edges {
            children[parent as usize].push((byte, child));
        }
        let mut open: VecDeque<State> = VecDeque::from([0]);
        while let Some(state) = open.pop_front() {
            for &(byte, child) in &children[state as usize] {
                let fallback = if state == 0 { 0 } else { self.next(self.nodes[state as usize].fallback, byte) };
                let inherited = self.nodes[fallback as usize].longest;
                let node = &mut self.nodes[child as usize];
                node.fallback = fallback;
                node.longest = node.longest.max(inherited);
                open.push_back(child);
            }
        }
    }

    /// The state after another byte.
    pub fn next(&self, state: State, byte: u8) -> State {
        let mut state = state;
        loop {
            match self.edges.get(&(state, byte)) {
                Some(next) => return *next,
                None if state == 0 => return 0,
                None => state = self.nodes[state as usize].fallback,
            }
        }
    }

    /// How much of a pattern the text ends with.
    pub fn depth(&self, state: State) -> usize {
        self.nodes.get(state as usize).map_or(0, |node| node.depth as usize)
    }

    /// The length of the longest pattern that the text ends with; 0: none.
    pub fn longest(&self, state: State) -> usize {
        self.nodes.get(state as usize).map_or(0, |node| node.longest as usize)
    }
}
