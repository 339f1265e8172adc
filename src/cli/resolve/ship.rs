//! The options of the verbs for packed files.

use super::{OptionsResolver, absolute};
use crate::cli::UsageError;
use crate::cli::arguments::{PACK_FORMATS, TABLE_FORMATS};
use crate::cli::options::{PackFormat, ShipOptions};

impl OptionsResolver<'_> {
    pub(super) fn ship_options(&self) -> Result<ShipOptions, UsageError> {
        let path = |id| self.typed(id).map(|path| absolute(&self.context.current_dir, path));
        let number = |text: &str| {
            let shown = crate::python_text::python_repr(text);
            text.parse().map_err(|_| self.problem("rollback_number", &format!("invalid number of a release: {shown}")))
        };
        Ok(ShipOptions {
            format: self.choice("pack_format", &PACK_FORMATS).map(|name| PackFormat::named(&name)).unwrap_or_default(),
            output_file: path("pack_file"),
            untested: self.is_typed("pack_untested"),
            file: path("ship_file").unwrap_or_default(),
            key: self.typed("ship_key").map(str::to_owned),
            release: self.typed("rollback_number").map(number).transpose()?,
            json: self.choice("releases_format", &TABLE_FORMATS).is_some_and(|format| format == "json"),
        })
    }
}
