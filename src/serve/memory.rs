//! Keeping what stays in the background small. Changes nothing about what a process does.

/// Lets all threads share one heap: each would leave one of its own behind otherwise, for as long as services run. Before
/// any thread is started.
pub fn stay_small() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the call changes a number inside the allocator.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives back what was needed to get this far and is not needed to go on: free parts of the heap, and the pages of the
/// program, which the system brings back from its cache the moment one is used again.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the call only gives back what nobody uses.
    unsafe {
        libc::malloc_trim(0);
    }
    #[cfg(target_os = "linux")]
    if let Some(code) = own_code() {
        // SAFETY: the range is mapped from a file and was never writable, so that what is dropped is read again as it was.
        // Advice that is refused changes nothing.
        unsafe {
            libc::madvise(std::ptr::with_exposed_provenance_mut(code.start), code.len(), libc::MADV_DONTNEED);
        }
    }
}

/// Where the program's code is: the mapping that this function is in, if it is a file's that cannot be written to.
#[cfg(target_os = "linux")]
fn own_code() -> Option<std::ops::Range<usize>> {
    let here = (give_back as fn()) as usize;
    code_around(here, &std::fs::read_to_string("/proc/self/maps").ok()?)
}

/// The same in the text of `/proc/PID/maps` (proc_pid_maps(5)).
#[cfg(target_os = "linux")]
fn code_around(address: usize, maps: &str) -> Option<std::ops::Range<usize>> {
    maps.lines().find_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let range = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
        (range.contains(&address) && rest.starts_with("r-xp ") && rest.contains('/')).then_some(range)
    })
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_code_from_a_file_is_given_back() {
        let maps = "1000-2000 r--p 00000000 fe:00 7 /bin/envo\n2000-4000 r-xp 00001000 fe:00 7 /bin/envo\n\
                    4000-5000 rw-p 00003000 fe:00 7 /bin/envo\n6000-7000 r-xp 00000000 00:00 0 \nnonsense\n";
        assert_eq!(code_around(0x2000, maps), Some(0x2000..0x4000));
        for elsewhere in [0x1fff, 0x4000, 0x6000, 0x9000] {
            assert_eq!(code_around(elsewhere, maps), None, "{elsewhere:x}");
        }
    }

    #[test]
    fn a_program_goes_on_without_the_memory_it_gave_back() {
        assert!(own_code().is_some_and(|code| code.contains(&((give_back as fn()) as usize))));
        give_back();
        assert_eq!(format!("{:?}", Vec::from([1, 2])), "[1, 2]");
    }
}
