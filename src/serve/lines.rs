//! Joins blocks of output into whole lines. A line that is too long is passed on in parts.

/// The longest beginning of a line that is buffered.
const LONGEST: usize = 64 * 1024;

#[derive(Debug, Default)]
pub struct Lines {
    /// The beginning of a line whose end has not arrived yet.
    partial: Vec<u8>,
    /// Whether a part of that line was passed on already.
    torn: bool,
}

impl Lines {
    /// Passes on the whole lines of a block and buffers the rest.
    pub fn take(&mut self, block: &[u8], show: &mut dyn FnMut(&[u8])) {
        let end = block.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let (whole, rest) = block.split_at(end);
        if !whole.is_empty() {
            self.torn = false;
            if self.partial.is_empty() {
                show(whole);
            } else {
                self.partial.extend_from_slice(whole);
                show(&std::mem::take(&mut self.partial));
            }
        }
        self.partial.extend_from_slice(rest);
        if self.partial.len() > LONGEST {
            self.torn = true;
            show(&std::mem::take(&mut self.partial));
        }
    }

    /// Passes on a last line without an end, and ends it.
    pub fn flush(&mut self, show: &mut dyn FnMut(&[u8])) {
        if !self.partial.is_empty() || self.torn {
            let mut line = std::mem::take(&mut self.partial);
            line.push(b'\n');
            self.torn = false;
            show(&line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_become_whole_lines_and_endless_lines_are_split() {
        let mut shown: Vec<Vec<u8>> = Vec::new();
        let mut lines = Lines::default();
        for block in [&b"a\nb"[..], b"c", b"d\n\ne\nf"] {
            lines.take(block, &mut |part| shown.push(part.to_vec()));
        }
        assert_eq!(shown, [&b"a\n"[..], b"bcd\n\ne\n"]);
        shown.clear();
        let long = vec![b'x'; 1000];
        for _ in 0..10_000 {
            lines.take(&long, &mut |part| shown.push(part.to_vec()));
        }
        lines.flush(&mut |part| shown.push(part.to_vec()));
        lines.flush(&mut |part| shown.push(part.to_vec()));
        assert!(shown.iter().all(|part| part.len() <= LONGEST + long.len()));
        let all = shown.concat();
        assert_eq!((all.len(), all.last()), (1 + 10_000_000 + 1, Some(&b'\n')));
    }
}
