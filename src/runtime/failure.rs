//! Recognises from a tool's output why it failed, and suggests a remedy.

/// A kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolFailure {
    /// The lock file does not match the manifest.
    Lock,
    /// A file does not have the hash in the lock.
    Tampered,
    /// The package, or this version of it, does not exist.
    Unknown,
    /// An index could not be reached.
    Network,
    /// Native code in a package did not compile.
    Compilation,
}

/// Text that tools print, most specific first, and the failure it means.
pub type FailurePatterns = &'static [(&'static str, ToolFailure)];

impl ToolFailure {
    /// The failure of the first of `marks` found in `output`.
    pub fn explained(marks: FailurePatterns, output: &str) -> Option<Self> {
        marks.iter().find(|(mark, _)| output.contains(mark)).map(|(_, failure)| *failure)
    }

    /// The remedy for users. `lock` is the command that updates the lock.
    pub fn remedy(self, lock: &str) -> String {
        match self {
            Self::Lock => format!("the lock file does not fit the manifest: bring it up to date with `{lock}`"),
            Self::Tampered => format!(
                "a file is not the one that was locked, whose hash is in the lock: find out where it comes from and who \
                 changed it before you lock it again with `{lock}`"
            ),
            Self::Unknown => "there is no such package or version: look for a mistake in its name, or ask for another \
                              version"
                .to_owned(),
            Self::Network => "the index could not be reached: look at the network and the settings of proxies; once \
                              the caches are warm, none is needed"
                .to_owned(),
            Self::Compilation => "something did not compile: the compiler's words are above; it may want a compiler \
                                  (gcc, make) or a library's headers"
                .to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::named;

    #[test]
    fn what_each_tool_says_is_understood() {
        for (runtime, output, failure) in [
            ("node", "npm error code EUSAGE", ToolFailure::Lock),
            ("node", "npm error code EINTEGRITY", ToolFailure::Tampered),
            ("node", "npm error code Z_DATA_ERROR\nnpm error errno -3", ToolFailure::Tampered),
            ("node", "npm ERR! code ETARGET", ToolFailure::Unknown),
            ("node", "npm error code ECONNREFUSED\nnpm error syscall connect", ToolFailure::Network),
            ("node", "npm error command failed\nnpm error command sh -c cc x.c", ToolFailure::Compilation),
            ("node", " ERR_PNPM_OUTDATED_LOCKFILE  Cannot install", ToolFailure::Lock),
            ("node", "error Your lockfile needs to be updated", ToolFailure::Lock),
            ("node", "➤ YN0028: │ The lockfile would have been modified", ToolFailure::Lock),
            ("ruby", "You are trying to install in deployment mode after changing\nyour Gemfile.", ToolFailure::Lock),
            ("ruby", "ERROR: Failed to build gem native extension.", ToolFailure::Compilation),
            ("ruby", "Could not reach host index.rubygems.org.", ToolFailure::Network),
            (
                "ruby",
                "ERROR:  Could not find a valid gem 'rack' (= 99), here is why:\n Unable to download data",
                ToolFailure::Network,
            ),
            ("ruby", "Could not find gem 'nope' in rubygems repository", ToolFailure::Unknown),
            ("go", "missing go.sum entry for module providing package x", ToolFailure::Lock),
            ("go", "verifying example.org/x@v1: checksum mismatch\n\nSECURITY ERROR", ToolFailure::Tampered),
            ("go", "dial tcp: lookup proxy.golang.org: no such host", ToolFailure::Network),
            ("rust", "error: cannot update the lock file /x because --locked was passed", ToolFailure::Lock),
            (
                "rust",
                "error: failed to download replaced source registry `crates-io`\n\nCaused by:\n  failed to verify the checksum of \
                 `leaf v1.0.0`",
                ToolFailure::Tampered,
            ),
            ("rust", "error: could not find `nope` in registry `crates-io`", ToolFailure::Unknown),
            ("rust", "failed to download from `https://index.crates.io/config.json`", ToolFailure::Network),
            ("rust", "error: could not compile `x` (bin \"x\") due to 1 previous error", ToolFailure::Compilation),
        ] {
            assert_eq!(ToolFailure::explained(named(runtime).unwrap().failures(), output), Some(failure), "{output}");
        }
        assert_eq!(ToolFailure::explained(named("node").unwrap().failures(), "npm error code EWHATEVER"), None);
    }
}
