//! `wgrad train video`.

use super::fit::{self, FitOptions, Kind, Settings};
use crate::{
    error::Error,
    tasks::{Motion, MotionSize, Sight},
    train::Goal,
};
use clap::Args;
use serde_json::json;

#[derive(Debug, Args)]
pub(super) struct TrainVideo {
    /// Shows the network the first frame in place of all, to see that the motion is in none.
    #[arg(long)]
    frame: bool,
    #[command(flatten)]
    fit: FitOptions,
}

const KIND: Kind = Kind {
    name: "video",
    steps: 200,
    batch: 32,
    rate: 1e-2,
    width: 8,
    measure_every: 50,
    watch: ("valid_accuracy", Goal::Highest),
    panels: &[
        ("loss (cross-entropy)", false, &["loss", "valid_loss"]),
        ("accuracy", true, &["accuracy", "valid_accuracy"]),
    ],
};

pub(super) fn train(options: &TrainVideo) -> Result<(), Error> {
    let sight = options.frame.then(|| json!("frame"));
    let settings = Settings::new(&options.fit, &KIND, &[("sight", sight, json!("video"))])?;
    let sight = if settings.text("sight")? == Some("frame") { Sight::Frame } else { Sight::Video };
    let size = MotionSize { sight, channels: settings.whole("width")?, frames: 4, side: 12 };
    let counts = [4000, 512];
    let task = Motion::new(size, counts, settings.whole("seed")? as u64);
    let data = format!("{} videos to train on, {} held out", counts[0], counts[1]);
    let kept = json!({ "classes": Motion::CLASSES, "frames": size.frames, "side": size.side, "videos": counts });
    fit::fit(&options.fit, &KIND, &settings, &task, &data, &kept)
}
