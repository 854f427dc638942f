//! The tasks are learnt, and what must not suffice for them does not.

use wgrad::{
    tasks::{
        Classifier, Labels, Motion, MotionSize, Pairs, Recipe, Run, Sight, Task, Text, TextSize, dates, reviews,
        stories,
    },
    testing::context,
    train::{Ended, History, Unit},
};

fn train(task: &dyn Task, recipe: Recipe) -> History {
    let mut run = Run::new(context(), task, recipe).unwrap();
    let (history, ended) = run.training().run(|_| Ok(())).unwrap();
    assert_eq!(ended, Ended::Done);
    println!("{}", history.to_csv());
    history
}

fn last(history: &History, figure: &str) -> f64 {
    history.epochs.last().unwrap().get(figure).unwrap()
}

const RECIPE: Recipe = Recipe { steps: 150, batch: 32, rate: 1e-2, seed: 0, measure_every: 50, mixed: false };

#[test]
fn characters_of_a_text_are_learnt() {
    let size = TextSize { width: 64, layers: 1, length: 32 };
    let task = Text::new(&stories(100_000, 1), size).unwrap();
    let history = train(&task, Recipe { steps: 200, ..RECIPE });
    let (loss, share) = (last(&history, "valid_loss"), last(&history, "valid_accuracy"));
    // Characters by their frequency alone take 2.9 nats.
    assert!(loss < 1.2 && share > 0.6, "{loss}, {share}");
    assert!((last(&history, "valid_perplexity") - loss.exp()).abs() < 1e-9);
    assert!((last(&history, "loss") - loss).abs() < 0.5, "held-out text is no harder");
}

#[test]
fn dates_of_other_days_are_translated() {
    let [training, held_out] = dates([20_000, 400], 0);
    let task = Pairs::new(Unit::Character, [80, 1], &training, &held_out).unwrap();
    let history = train(&task, Recipe { steps: 250, batch: 64, rate: 8e-3, measure_every: 125, ..RECIPE });
    let exact = last(&history, "valid_exact");
    assert!(exact >= 0.95, "{exact}");
}

#[test]
fn the_order_of_words_is_learnt_and_a_bag_of_words_is_not_enough() {
    let [training, held_out] = reviews([2000, 400], 0);
    let task = Labels::new(Classifier::Lstm, 32, &training, &held_out).unwrap();
    let accuracy = last(&train(&task, RECIPE), "valid_accuracy");
    assert!(accuracy > 0.95, "{accuracy}");
    let task = Labels::new(Classifier::Bag, 32, &training, &held_out).unwrap();
    let accuracy = last(&train(&task, RECIPE), "valid_accuracy");
    assert!((accuracy - 0.5).abs() < 0.05, "a bag of words cannot do better than chance: {accuracy}");
}

#[test]
fn motion_is_learnt_and_a_frame_is_not_enough() {
    let size = MotionSize { sight: Sight::Video, channels: 8, frames: 4, side: 8 };
    let recipe = Recipe { steps: 150, batch: 16, ..RECIPE };
    let accuracy = last(&train(&Motion::new(size, [1000, 128], 0), recipe), "valid_accuracy");
    assert!(accuracy > 0.9, "{accuracy}");
    let size = MotionSize { sight: Sight::Frame, ..size };
    let accuracy = last(&train(&Motion::new(size, [1000, 128], 0), recipe), "valid_accuracy");
    assert!(accuracy < 0.35, "one frame of four directions says nothing: {accuracy}");
}

/// The text of Karpathy's char-rnn, where it lies beside the repository.
#[test]
fn a_megabyte_of_shakespeare_is_learnt_to_less_than_two_nats() {
    let path = "../shared/data/tinyshakespeare.txt";
    let Ok(text) = std::fs::read_to_string(path) else {
        return println!("SKIPPED: there is no {path}; other texts are learnt by the tests above");
    };
    let task = Text::new(&text, TextSize { width: 128, layers: 1, length: 64 }).unwrap();
    let history = train(&task, Recipe { steps: 220, rate: 8e-3, measure_every: 220, ..RECIPE });
    let loss = last(&history, "valid_loss");
    assert!(loss < 2.0, "{loss}");
}
