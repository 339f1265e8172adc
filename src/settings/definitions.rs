//! Variables by name, in the order of their first definition; later definitions override earlier ones.

use rustc_hash::FxHashMap;

/// The value of a variable, before substitution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawVariable {
    pub value: String,
    pub marker: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub struct VariableDefinitions {
    ordered: Vec<(String, RawVariable)>,
    positions: FxHashMap<String, usize>,
}

impl VariableDefinitions {
    pub fn define(&mut self, name: String, raw: RawVariable) {
        match self.positions.get(&name) {
            Some(&at) => self.ordered[at].1 = raw,
            None => {
                self.positions.insert(name.clone(), self.ordered.len());
                self.ordered.push((name, raw));
            }
        }
    }

    pub fn get(&self, name: &str) -> Option<&RawVariable> {
        self.positions.get(name).map(|&at| &self.ordered[at].1)
    }

    pub fn contains(&self, name: &str) -> bool {
        self.positions.contains_key(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &(String, RawVariable)> {
        self.ordered.iter()
    }
}

impl IntoIterator for VariableDefinitions {
    type Item = (String, RawVariable);
    type IntoIter = std::vec::IntoIter<(String, RawVariable)>;

    fn into_iter(self) -> Self::IntoIter {
        self.ordered.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_keeps_its_place_and_takes_the_last_value() {
        let mut found = VariableDefinitions::default();
        for (name, value) in [("A", "1"), ("B", "2"), ("A", "3")] {
            found.define(name.to_owned(), RawVariable { value: value.to_owned(), marker: None });
        }
        let values: Vec<_> = found.iter().map(|(name, raw)| (name.as_str(), raw.value.as_str())).collect();
        assert_eq!(values, [("A", "3"), ("B", "2")]);
        assert!(found.contains("B") && found.get("C").is_none());
    }
}
