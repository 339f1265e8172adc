//! What formats other than tar need to know of a release besides its files.

use crate::model::ServiceSettings;
use crate::package::metadata::headers;
use crate::ship::project_files;
use crate::ship::provenance::Commit;
use crate::ship::settings::PackSettings;

/// Longer ones are cut off when packages are listed.
const LONGEST_SYNOPSIS: usize = 79;

/// What formats other than tar need to know of a release.
#[derive(Debug, Clone)]
pub struct ReleaseFacts {
    pub settings: PackSettings,
    /// The folder of the release on the target machine.
    pub prefix: String,
    pub service: Option<ServiceSettings>,
    /// The words of its command, with the path of its program.
    pub start_words: Vec<String>,
    /// Its source date in ISO 8601.
    pub created: String,
    pub commit: Option<Commit>,
    /// The project's `METADATA`; empty without a package.
    pub metadata: String,
    /// The packages with their versions, the project first, and what their licences are called.
    pub licences: Vec<(String, String)>,
}

impl ReleaseFacts {
    /// Whether it runs as a user that only exists for it.
    pub fn has_own_user(&self) -> bool {
        self.settings.units.service && self.settings.user.as_ref().is_some_and(|user| user != "root")
    }

    /// A field of the project's metadata.
    pub fn field(&self, name: &str) -> Option<String> {
        let fields = headers(&self.metadata);
        let found = fields.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?.1;
        Some(found.trim().to_owned()).filter(|value| !value.is_empty() && value != "UNKNOWN")
    }

    /// The project's summary in one short line without a full stop.
    pub fn summary(&self, name: &str) -> String {
        let summary = self.field("Summary");
        summary.as_deref().and_then(synopsis).unwrap_or_else(|| format!("service {name}, packed by envo"))
    }

    /// The folder that the command is started in.
    pub fn work_folder(&self) -> String {
        let prefix = &self.prefix;
        if self.settings.include.is_empty() { prefix.clone() } else { format!("{prefix}/{}", project_files::FOLDER) }
    }
}

/// `None` if nothing is left of it.
fn synopsis(summary: &str) -> Option<String> {
    let line = summary.split_whitespace().collect::<Vec<_>>().join(" ");
    let line: String = line.chars().take(LONGEST_SYNOPSIS).collect();
    let line = line.trim_end_matches(['.', ' ']).to_owned();
    (!line.is_empty()).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_becomes_one_short_line_without_a_full_stop() {
        assert_eq!(synopsis("Sells\n things. ").as_deref(), Some("Sells things"));
        assert_eq!(synopsis(&"x".repeat(200)).map(|line| line.len()), Some(LONGEST_SYNOPSIS));
        assert_eq!(synopsis(" . "), None);
    }
}
