//! Puts the blocks in which output comes together to whole lines. A line that is too long for that is handed over in parts.

/// How much of a line is kept until its end comes.
const LONGEST: usize = 64 * 1024;

#[derive(Debug, Default)]
pub struct Lines {
    /// The beginning of a line whose end has not come yet.
    partial: Vec<u8>,
    /// Whether a part of that line was handed over.
    torn: bool,
}

impl Lines {
    /// Hands over the whole lines of a block and keeps what is left of it.
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

    /// Hands over a last line that has no end, with one.
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
    fn blocks_become_whole_lines_and_a_line_without_an_end_comes_in_parts() {
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
