//! Replaces secret values in text and output, however they are split or encoded.

mod encodings;
mod patterns;
mod stream;

use std::sync::Arc;

use parking_lot::RwLock;

use crate::redaction::patterns::Patterns;
pub use crate::redaction::stream::RedactingStream;

/// What is written instead of a value.
pub const MASK: &str = "***";

/// The values that are hidden. Clones share them, and values may be added at any time.
#[derive(Debug, Clone, Default)]
pub struct Redactor(Arc<RwLock<Arc<Patterns>>>);

impl Redactor {
    /// Hides these values from now on, in all forms.
    pub fn hide(&self, values: &[Vec<u8>]) {
        if !values.is_empty() {
            let mut known = self.0.write();
            *known = Arc::new(known.with(values));
        }
    }

    /// Whether nothing is hidden.
    pub fn is_empty(&self) -> bool {
        self.0.read().is_empty()
    }

    /// For output that arrives in parts.
    pub fn stream(&self) -> RedactingStream {
        RedactingStream::new(self.clone())
    }

    pub fn bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.stream();
        let mut result = stream.push(bytes);
        result.extend(stream.finish());
        result
    }

    pub fn text(&self, text: &str) -> String {
        if self.is_empty() {
            return text.to_owned();
        }
        String::from_utf8_lossy(&self.bytes(text.as_bytes())).into_owned()
    }

    fn patterns(&self) -> Arc<Patterns> {
        Arc::clone(&self.0.read())
    }
}

#[cfg(test)]
mod tests;
