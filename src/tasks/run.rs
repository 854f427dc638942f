//! A task in training.

use crate::{
    data::DType,
    error::Error,
    gpu::Context,
    graph::{Graph, Mode, Tensor},
    optim::{AdamW, LossScale, Schedule},
    session::{Session, Weights},
    train::{Dataset, Training},
};

/// Something to learn: data, a network with its loss, and a measure on held-out data.
pub trait Task {
    /// The examples to train with.
    fn examples(&self) -> &dyn Dataset;

    /// Logits `[N, classes]` of a batch and the classes that are right, `[N]`, −100 for rows that do not count; the inputs
    /// have the names of the dataset.
    fn logits(&self, graph: &Graph, batch: usize) -> [Tensor; 2];

    /// What measures the weights on held-out examples, with figures named `valid_…`.
    ///
    /// # Errors
    /// An error of planning or of the device.
    fn examine<'a>(&'a self, context: &Context, weights: &Weights) -> Result<Examination<'a>, Error>;
}

/// The class of rows that do not count.
pub(super) const IGNORED: u32 = -100_i32 as u32;

/// What returns the figures of held-out examples.
pub type Examination<'a> = Box<dyn FnMut() -> Result<Vec<(String, f64)>, Error> + 'a>;

/// How a task is trained: AdamW with clipped gradients, a rate that rises for a twentieth of the steps and falls along a
/// cosine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// How many steps.
    pub steps: u64,
    /// How many examples make a step.
    pub batch: usize,
    /// The highest learning rate.
    pub rate: f64,
    /// The seed of initial values, shuffles and dropout.
    pub seed: u64,
    /// After how many steps the held-out examples are looked at.
    pub measure_every: u64,
    /// Whether activations are `f16`, with a loss scale.
    pub mixed: bool,
}

/// A task on a device, ready to train.
pub struct Run<'a> {
    task: &'a dyn Task,
    recipe: Recipe,
    session: Session,
    weights: Weights,
    examine: Examination<'a>,
}

impl<'a> Run<'a> {
    /// Plans the task and allocates everything it needs.
    ///
    /// # Errors
    /// An error of planning or of the device.
    pub fn new(context: &Context, task: &'a dyn Task, recipe: Recipe) -> Result<Run<'a>, Error> {
        let graph = Graph::new(Mode::Train);
        let logits = || task.logits(&graph, recipe.batch);
        let [logits, label] = if recipe.mixed { graph.mixed(logits) } else { logits() };
        let loss = logits.cast(DType::F32).cross_entropy(&label);
        let counted = label.lt(&graph.constant(logits.size(1) as f32, DType::U32));
        let all = counted.cast(DType::F32).sum_all();
        let accuracy = logits.argmax(1).eq(&label).cast(DType::F32).sum_all() / all;
        let warm_up = (recipe.steps / 20).max(1) as u32;
        let schedule = Schedule::cosine((recipe.steps as u32).saturating_sub(warm_up).max(1)).after_warmup(warm_up);
        let mut optimizer = AdamW::new(recipe.rate).clip_norm(1.0).schedule(schedule);
        if recipe.mixed {
            optimizer = optimizer.loss_scale(LossScale::default());
        }
        optimizer.minimise(&loss);
        let plan = graph.plan(&[("loss", &loss), ("accuracy", &accuracy)], context.target())?;
        let weights = Weights::init(context, &plan, recipe.seed)?;
        let session = Session::new(context, plan, &weights)?;
        let examine = task.examine(context, &weights)?;
        Ok(Run { task, recipe, session, weights, examine })
    }

    /// The session of a step.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The weights that are trained.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Looks at the held-out examples.
    ///
    /// # Errors
    /// An error of the device.
    pub fn examine(&mut self) -> Result<Vec<(String, f64)>, Error> {
        (self.examine)()
    }

    /// The training, to be given checkpoints and run.
    pub fn training(&mut self) -> Training<'_> {
        let Recipe { steps, batch, seed, measure_every, .. } = self.recipe;
        Training::new(&self.session, &self.weights, self.task.examples(), batch)
            .steps(steps)
            .seed(seed)
            .measure_every(measure_every)
            .validate(&mut self.examine)
    }
}
