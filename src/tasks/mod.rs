//! Tasks that networks learn, with the data, the model and the measure of each.
//!
//! - [`Text`]: which character comes next.
//! - [`Pairs`]: one text into another, [dates](dates()) for example.
//! - [`Labels`]: texts into classes, [reviews](reviews()) for example, whose words alone do not tell.
//! - [`Motion`]: which way something moves in a video.
//!
//! A [`Task`] is data and a graph; [`Run`] trains any of them. What is made on the fly depends on its seed only.

mod labels;
mod motion;
mod pairs;
mod run;
mod text;

pub use labels::{Classifier, Labels, LabelsSize, reviews};
pub use motion::{Motion, MotionSize, Sight};
pub use pairs::{Pairs, PairsSize, dates, source_of, translator};
pub use run::{Examination, Recipe, Run, Task};
pub use text::{Text, TextSize, stories};

use crate::error::{Error, ErrorKind};

/// An error about the data of a task.
fn refuse(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Data, message)
}

/// One of some things.
fn pick<'a, T: ?Sized>(random: &mut crate::train::Shuffle, from: &[&'a T]) -> &'a T {
    from[random.below(from.len())]
}
