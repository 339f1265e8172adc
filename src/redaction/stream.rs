//! Redacts output that arrives in parts: what may be the beginning of a value is held back until that is decided.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::redaction::patterns::{Patterns, State, is_skipped};
use crate::redaction::{MASK, Redactor};

#[derive(Debug)]
pub struct RedactingStream {
    redactor: Redactor,
    patterns: Arc<Patterns>,
    state: State,
    /// The bytes that are held back, and the position of the first in the stream.
    held: VecDeque<u8>,
    begin: u64,
    /// The positions of the held bytes that are not passed over.
    significant: VecDeque<u64>,
    /// The parts to redact, in order, without overlaps.
    hidden: VecDeque<(u64, u64)>,
    /// The end of the last part that was written as a mask.
    masked_until: u64,
}

impl RedactingStream {
    pub(super) fn new(redactor: Redactor) -> Self {
        let patterns = redactor.patterns();
        Self {
            redactor,
            patterns,
            state: 0,
            held: VecDeque::new(),
            begin: 0,
            significant: VecDeque::new(),
            hidden: VecDeque::new(),
            masked_until: 0,
        }
    }

    /// Takes more output, and returns what can be shown.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let patterns = self.redactor.patterns();
        let mut shown = Vec::with_capacity(bytes.len());
        if !Arc::ptr_eq(&patterns, &self.patterns) {
            // What is held back was the beginning of an older value; it may be that of a new one, too.
            self.patterns = patterns;
            self.state = 0;
            self.significant.clear();
            let held: Vec<u8> = std::mem::take(&mut self.held).into();
            self.scan(&held, &mut shown);
        }
        if self.patterns.is_empty() {
            self.begin += bytes.len() as u64;
            shown.extend_from_slice(bytes);
        } else {
            self.scan(bytes, &mut shown);
        }
        shown
    }

    fn scan(&mut self, bytes: &[u8], shown: &mut Vec<u8>) {
        for &byte in bytes {
            let at = self.begin + self.held.len() as u64;
            self.held.push_back(byte);
            if !is_skipped(byte) {
                self.significant.push_back(at);
                self.state = self.patterns.next(self.state, byte);
                let longest = self.patterns.longest(self.state);
                if longest > 0 {
                    self.hide(self.significant[self.significant.len() - longest], at + 1);
                }
                let depth = self.patterns.depth(self.state);
                self.significant.drain(..self.significant.len() - depth);
            }
            let undecided = self.significant.front().copied().unwrap_or(at + 1);
            self.release(undecided, shown);
        }
    }

    fn hide(&mut self, begin: u64, end: u64) {
        let mut begin = begin;
        while let Some(&(earlier, until)) = self.hidden.back()
            && until >= begin
        {
            begin = begin.min(earlier);
            self.hidden.pop_back();
        }
        self.hidden.push_back((begin, end));
    }

    /// Writes what was decided: everything before `end`.
    fn release(&mut self, end: u64, shown: &mut Vec<u8>) {
        while self.begin < end {
            let Some(byte) = self.held.pop_front() else { return };
            let at = self.begin;
            self.begin += 1;
            while self.hidden.front().is_some_and(|(_, until)| *until <= at) {
                self.hidden.pop_front();
            }
            match self.hidden.front() {
                Some((from, until)) if *from <= at => {
                    if self.masked_until < at || self.masked_until == 0 {
                        shown.extend_from_slice(MASK.as_bytes());
                    }
                    self.masked_until = *until;
                }
                _ => shown.push(byte),
            }
        }
    }

    /// The rest, after the last output.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut shown = Vec::new();
        self.release(u64::MAX, &mut shown);
        self.significant.clear();
        self.state = 0;
        shown
    }
}
