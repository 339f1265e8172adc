//! How macOS's processes are recognized when their parent has ended. It knows no system calls, so that it is tested on
//! every system.

use std::collections::BTreeMap;

/// What the system says about one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessRecord {
    pub pid: u32,
    pub parent: u32,
    pub group: u32,
    pub session: u32,
    pub start: u64,
}

/// The parent that the system gives to orphans.
const FIRST_PROCESS: u32 = 1;

/// Each process with its parent. An orphan belongs below the leader of its group, or else of its session, if that still
/// runs and was started before it: a younger leader has got the number of the one that started the orphan.
pub fn parents(records: &[ProcessRecord]) -> Vec<(u32, u32)> {
    let starts: BTreeMap<u32, u64> = records.iter().map(|record| (record.pid, record.start)).collect();
    let is_leader = |record: &ProcessRecord, number: u32| {
        number != record.pid && starts.get(&number).is_some_and(|start| *start <= record.start)
    };
    let parent = |record: &ProcessRecord| match record.parent {
        FIRST_PROCESS => {
            let leaders = [record.group, record.session];
            leaders.into_iter().find(|number| is_leader(record, *number)).unwrap_or(FIRST_PROCESS)
        }
        parent => parent,
    };
    records.iter().map(|record| (record.pid, parent(record))).collect()
}

/// The members of the session that a process began, at this time. While it has members, the system gives its number to no
/// other process; a process that has it nevertheless began another session.
pub fn session_members(records: &[ProcessRecord], leader: u32, start: u64) -> Vec<u32> {
    if records.iter().any(|record| record.pid == leader && record.start != start) {
        return Vec::new();
    }
    records.iter().filter(|record| record.session == leader && record.start >= start).map(|record| record.pid).collect()
}

/// The words of a command line and the variables of a process, each with a zero at its end, from what `KERN_PROCARGS2`
/// returns: the number of words, the program's path, zeros, the words, the variables, and an empty text.
pub fn words_and_variables(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (count, rest) = text.split_first_chunk()?;
    let count = usize::try_from(i32::from_ne_bytes(*count)).ok()?;
    let path = rest.iter().position(|byte| *byte == 0)?;
    let begin = path + rest[path..].iter().position(|byte| *byte != 0)?;
    let rest = &rest[begin..];
    let mut ends = rest.iter().enumerate().filter(|(_, byte)| **byte == 0).map(|(at, _)| at + 1);
    let words = if count == 0 { 0 } else { ends.nth(count - 1)? };
    let (words, variables) = rest.split_at(words);
    let end = variables.windows(2).position(|pair| pair == [0, 0]).map_or(variables.len(), |at| at + 1);
    Some((words, if variables.first() == Some(&0) { &[] } else { &variables[..end] }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(pid: u32, parent: u32, group: u32, session: u32, start: u64) -> ProcessRecord {
        ProcessRecord { pid, parent, group, session, start }
    }

    #[test]
    fn orphans_belong_below_the_leader_of_their_group_or_session() {
        let records = [
            record(10, 5, 10, 10, 100),
            record(11, 10, 11, 10, 110),
            record(12, 1, 11, 10, 120),
            record(13, 1, 99, 10, 130),
            record(14, 1, 14, 14, 140),
            record(15, 1, 98, 97, 150),
            record(16, 1, 11, 16, 90),
        ];
        let expected = [(10, 5), (11, 10), (12, 11), (13, 10), (14, 1), (15, 1), (16, 1)];
        assert_eq!(parents(&records), expected);
    }

    #[test]
    fn a_session_is_recognized_without_its_leader_but_not_by_a_used_number() {
        let members = [record(21, 1, 21, 20, 210), record(22, 21, 20, 20, 220), record(23, 1, 23, 23, 230)];
        assert_eq!(session_members(&members, 20, 200), [21, 22]);
        assert_eq!(session_members(&members, 20, 215), [22], "an older process is a stranger");
        let mut reused = members.to_vec();
        reused.push(record(20, 1, 20, 20, 300));
        assert!(session_members(&reused, 20, 200).is_empty());
        assert_eq!(session_members(&reused[3..], 20, 300), [20], "the leader itself is a member");
    }

    #[test]
    fn words_and_variables_are_read_with_care() {
        let text = |count: i32, rest: &[u8]| [&count.to_ne_bytes(), rest].concat();
        let whole = text(2, b"/bin/x\0\0\0\0x\0-a\0A=1\0B=\0\0junk\0");
        assert_eq!(words_and_variables(&whole), Some((&b"x\0-a\0"[..], &b"A=1\0B=\0"[..])));
        let none = text(1, b"/bin/x\0x\0\0");
        assert_eq!(words_and_variables(&none), Some((&b"x\0"[..], &b""[..])));
        let cut = text(1, b"/bin/x\0x\0A=1\0B");
        assert_eq!(words_and_variables(&cut), Some((&b"x\0"[..], &b"A=1\0B"[..])));
        for wrong in
            [&b""[..], b"\x01", &text(-1, b"/x\0x\0"), &text(3, b"/x\0x\0"), &text(1, b"/x"), &text(1, b"/x\0\0")]
        {
            assert_eq!(words_and_variables(wrong), None, "{wrong:?}");
        }
    }
}
