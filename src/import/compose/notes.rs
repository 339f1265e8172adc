//! Collects the notes on a translation: each key once, with the services that have it.

#[derive(Debug, Default)]
pub struct ImportNotes {
    /// About one service, in order.
    lines: Vec<String>,
    /// Keys, why they are not translated, and which services have them.
    keys: Vec<(String, String, Vec<String>)>,
}

impl ImportNotes {
    pub fn add(&mut self, service: &str, text: impl AsRef<str>) {
        let line = format!("{}: {}", service.escape_default(), text.as_ref());
        if !self.lines.contains(&line) {
            self.lines.push(line);
        }
    }

    pub fn general(&mut self, text: impl Into<String>) {
        self.lines.push(text.into());
    }

    /// A key that is not translated.
    pub fn key(&mut self, service: &str, key: &str, reason: &str) {
        let service = service.escape_default().to_string();
        match self.keys.iter_mut().find(|(known, ..)| known == key) {
            Some((.., services)) if services.contains(&service) => {}
            Some((.., services)) => services.push(service),
            None => self.keys.push((key.to_owned(), reason.to_owned(), vec![service])),
        }
    }

    pub fn into_lines(self) -> Vec<String> {
        let keys = self.keys.into_iter().map(|(key, reason, services)| {
            format!("{}: `{}` is not translated: {reason}", services.join(", "), key.escape_default())
        });
        self.lines.into_iter().chain(keys).collect()
    }
}
