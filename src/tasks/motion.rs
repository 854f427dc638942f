//! Which way something moves in a video.

use super::{Task, labels, run::Examination};
use crate::{
    data::{Array, DType},
    error::Error,
    gpu::Context,
    graph::{Graph, Mode, Tensor},
    models::video_classifier,
    nn::Layer,
    session::Weights,
    train::{Batch, Dataset, Shuffle},
};

/// What a classifier of videos sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// All frames.
    Video,
    /// The first frame in place of all: the same network without the motion.
    Frame,
}

/// The sizes of a video classifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MotionSize {
    /// What it sees.
    pub sight: Sight,
    /// Channels of the first convolution.
    pub channels: usize,
    /// Frames of a video.
    pub frames: usize,
    /// Pixels of a frame's side.
    pub side: usize,
}

/// Videos of a random pattern that moves left, right, up or down by a pixel a frame, made on the fly.
///
/// What leaves on one side comes back on the other, so every frame is as random as any other: none says anything about
/// the direction.
pub struct Motion {
    size: MotionSize,
    training: Videos,
    held_out: Videos,
}

impl Motion {
    /// The names of the classes.
    pub const CLASSES: [&str; 4] = ["left", "right", "up", "down"];

    /// The task of so many videos to train with, and so many that are held out.
    pub fn new(size: MotionSize, [training, held_out]: [usize; 2], seed: u64) -> Motion {
        let videos = |count, seed| Videos { size, count, seed };
        Motion { size, training: videos(training, seed), held_out: videos(held_out, !seed) }
    }
}

impl Task for Motion {
    fn examples(&self) -> &dyn Dataset {
        &self.training
    }

    fn logits(&self, graph: &Graph, batch: usize) -> [Tensor; 2] {
        let MotionSize { channels, frames, side, .. } = self.size;
        let x = graph.input("x", [batch, 1, frames, side, side]);
        let x = match self.size.sight {
            Sight::Video => x,
            Sight::Frame => x.slice(2, 0..1).expand([batch, 1, frames, side, side]),
        };
        let logits = video_classifier(channels, Motion::CLASSES.len()).apply(&x);
        [logits, graph.input_of("label", [batch], DType::U32)]
    }

    fn examine<'a>(&'a self, context: &Context, weights: &Weights) -> Result<Examination<'a>, Error> {
        let batch = self.held_out.len().min(64);
        let graph = Graph::new(Mode::Infer);
        let [logits, label] = self.logits(&graph, batch);
        labels::examine(context, weights, &graph, [&logits, &label], &self.held_out, batch)
    }
}

/// Videos that depend on their numbers.
struct Videos {
    size: MotionSize,
    count: usize,
    seed: u64,
}

impl Videos {
    /// A video's pixels and its class.
    fn draw(&self, number: usize, pixels: &mut Vec<f32>) -> u32 {
        let MotionSize { frames, side, .. } = self.size;
        let mut random = Shuffle::new(self.seed, number as u64);
        let class = random.below(4);
        let pattern: Vec<f32> = (0..side * side).map(|_| if random.below(2) == 0 { -1.0 } else { 1.0 }).collect();
        for frame in 0..frames {
            // A step to the left is one round but a step to the right.
            let (ahead, back) = (frame % side, (side - frame % side) % side);
            let (right, down) = [(back, 0), (ahead, 0), (0, back), (0, ahead)][class];
            for row in 0..side {
                for column in 0..side {
                    pixels.push(pattern[(row + side - down) % side * side + (column + side - right) % side]);
                }
            }
        }
        class as u32
    }
}

impl Dataset for Videos {
    fn len(&self) -> usize {
        self.count
    }

    fn batch(&self, examples: &[usize]) -> Result<Batch<'_>, Error> {
        let MotionSize { frames, side, .. } = self.size;
        let mut pixels = Vec::with_capacity(examples.len() * frames * side * side);
        let labels: Vec<u32> = examples.iter().map(|&number| self.draw(number, &mut pixels)).collect();
        Ok(vec![
            ("x", Array::from_f32([examples.len(), 1, frames, side, side], &pixels)?),
            ("label", Array::from_u32([examples.len()], &labels)?),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_move_as_their_label_says() {
        let size = MotionSize { sight: Sight::Video, channels: 1, frames: 3, side: 5 };
        let videos = Videos { size, count: 40, seed: 1 };
        let mut seen = [0; 4];
        for number in 0..40 {
            let mut pixels = Vec::new();
            let class = videos.draw(number, &mut pixels) as usize;
            seen[class] += 1;
            let pixel = |frame: usize, row: usize, column: usize| pixels[25 * frame + 5 * (row % 5) + column % 5];
            let (down, right) = [(0, 4), (0, 1), (4, 0), (1, 0)][class];
            for (frame, row, column) in (0..50).map(|i| (i / 25, i % 25 / 5, i % 5)) {
                assert_eq!(pixel(frame, row, column), pixel(frame + 1, row + down, column + right), "{number}");
            }
        }
        assert!(seen.iter().all(|&count| count > 3), "{seen:?}");
    }
}
