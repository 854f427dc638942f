//! Which of several kernels for the same work a device runs fastest: the table that `wgrad tune` measures.
//!
//! Where it says nothing, planning goes by its rules, which need no table to be good. Nothing is measured unless asked.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A number that a kernel is made for, and that may be another one for the same work: the rows of a tile, say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What it is called in tables.
    pub name: &'static str,
    /// What it may be.
    pub values: &'static [u32],
}

/// For each choice, and sizes of the work that are about these, what is fastest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuning {
    values: BTreeMap<(String, [u32; 3]), u32>,
}

/// Sizes that count as one: those nearest to the same power of four.
fn class(size: usize) -> u32 {
    // The square, as its logarithm is twice as fine.
    ((size.max(1) as u128).pow(2).ilog2() + 2) / 4
}

impl Tuning {
    /// Sets what is fastest for sizes about these.
    pub fn set(&mut self, choice: &Choice, size: [usize; 3], value: u32) {
        self.values.insert((choice.name.to_owned(), size.map(class)), value);
    }

    /// What is fastest for a size, if the table says so and it is one of the choice's values.
    pub fn pick(&self, choice: &Choice, size: [usize; 3]) -> Option<u32> {
        let value = self.values.get(&(choice.name.to_owned(), size.map(class)))?;
        choice.values.contains(value).then_some(*value)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether planning goes by its rules alone.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The table as JSON: a list of `{"choice", "size", "value"}`, with sizes as powers of four.
    pub fn to_json(&self) -> Value {
        let entry = |((name, size), value): (&(String, [u32; 3]), &u32)| json!({ "choice": name, "size": size, "value": value });
        self.values.iter().map(entry).collect()
    }

    /// The table of JSON; none where it has another form.
    pub fn from_json(json: &Value) -> Option<Tuning> {
        let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
        let entry = |entry: &Value| {
            let size: Vec<u32> = entry["size"].as_array()?.iter().map(number).collect::<Option<_>>()?;
            Some(((entry["choice"].as_str()?.to_owned(), size.try_into().ok()?), number(&entry["value"])?))
        };
        let values = json.as_array()?.iter().map(entry).collect::<Option<_>>()?;
        Some(Tuning { values })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: Choice = Choice { name: "rows", values: &[8, 16] };

    #[test]
    fn sizes_are_as_their_nearest_power_of_four() {
        let classes = [0, 1, 2, 7, 8, 16, 31, 32, 64, 127, 128, 1024].map(class);
        assert_eq!(classes, [0, 0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 5]);
        assert_eq!(class(usize::MAX), 32);
    }

    #[test]
    fn a_table_is_asked_by_choice_and_size() {
        let mut tuning = Tuning::default();
        assert!(tuning.is_empty() && tuning.pick(&ROWS, [1, 2, 3]).is_none());
        tuning.set(&ROWS, [64, 256, 16], 8);
        assert_eq!(tuning.pick(&ROWS, [70, 200, 20]), Some(8));
        assert_eq!(tuning.pick(&ROWS, [16, 256, 64]), None);
        assert_eq!(tuning.pick(&Choice { name: "columns", ..ROWS }, [64, 256, 16]), None);
        // What a kernel does not know is not chosen.
        assert_eq!(tuning.pick(&Choice { values: &[16], ..ROWS }, [64, 256, 16]), None);
    }

    #[test]
    fn a_table_comes_back_from_json() {
        let mut tuning = Tuning::default();
        tuning.set(&ROWS, [64, 256, 16], 8);
        tuning.set(&ROWS, [1, 1, 1], 16);
        assert_eq!(Tuning::from_json(&tuning.to_json()).as_ref(), Some(&tuning));
        for wrong in [json!({}), json!([{}]), json!([{ "choice": "rows", "size": [1, 2], "value": 8 }]), json!([[1]])] {
            assert_eq!(Tuning::from_json(&wrong), None, "{wrong}");
        }
    }
}
