//! Resolves the format of a run's report.

use super::OptionsResolver;
use crate::cli::arguments::REPORTS;
use crate::cli::options::ReportFormat;

impl OptionsResolver<'_> {
    /// The option, else `ENVO_REPORT`, else the default of the option.
    pub(super) fn report_format(&self) -> ReportFormat {
        let own = self.context.variables.text("ENVO_REPORT").filter(|text| !text.is_empty());
        let own = own.filter(|_| self.defines("report") && !self.is_typed("report")).filter(|text| {
            let known = REPORTS.contains(&text.as_str());
            if !known {
                self.defaults.warn(format!("ENVO_REPORT is `{text}`, must be one of {}", REPORTS.join(", ")));
            }
            known
        });
        match own.or_else(|| self.choice("report", &REPORTS)).as_deref() {
            Some("json") => ReportFormat::Json,
            Some("brief") => ReportFormat::Brief,
            _ => ReportFormat::Human,
        }
    }
}
