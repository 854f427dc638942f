//! PyTorch's numbers, made by `fixtures/make.py`.

use safetensors::{Dtype, SafeTensors};
use std::{collections::HashMap, path::Path};
use wgrad::prelude::*;

/// A file of arrays with a table of what they belong to.
pub struct Fixture {
    arrays: HashMap<String, Array>,
    pub table: Vec<serde_json::Value>,
}

impl Fixture {
    pub fn open(name: &str) -> Fixture {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/{name}.safetensors"));
        let bytes = std::fs::read(path).unwrap();
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let table = &metadata.metadata().as_ref().unwrap()["table"];
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let arrays = file.iter().map(|(name, view)| {
            let dtype = if view.dtype() == Dtype::U32 { DType::U32 } else { DType::F32 };
            (name.to_owned(), Array::new(TensorDesc::new(view.shape(), dtype), view.data().to_vec()).unwrap())
        });
        Fixture { arrays: arrays.collect(), table: serde_json::from_str(table).unwrap() }
    }

    pub fn find(&self, name: &str) -> Option<&Array> {
        self.arrays.get(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.arrays.keys().map(String::as_str)
    }

    pub fn get(&self, name: &str) -> &Array {
        self.find(name).unwrap_or_else(|| panic!("the fixture has no {name}"))
    }
}

/// Compares numbers with PyTorch's, relative to the largest of them.
#[track_caller]
pub fn assert_close(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{what}: number of elements");
    let largest = expected.iter().filter(|x| x.is_finite()).fold(1e-6_f32, |largest, x| largest.max(x.abs()));
    for (i, (&x, &e)) in found.iter().zip(expected).enumerate() {
        let close = approx::abs_diff_eq!(x, e, epsilon = tolerance * largest);
        let same = x == e || (x.is_nan() && e.is_nan()) || close;
        assert!(same, "{what}: element {i} is {x}, PyTorch has {e} (tolerance {tolerance:e} of {largest})");
    }
}
