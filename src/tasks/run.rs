//! A task in training.

use crate::{
    error::Error,
    gpu::Context,
    graph::{Graph, Mode, Tensor},
    optim::{AdamW, Schedule},
    session::{Session, Weights},
    train::{Dataset, Training},
};

/// Something to learn: data, a network with its loss, and a measure on held-out data.
pub trait Task {
    /// The examples to train with.
    fn examples(&self) -> &dyn Dataset;

    /// The loss of a batch, then other figures, each one number; the inputs have the names of the dataset.
    fn figures(&self, graph: &Graph, batch: usize) -> Vec<(&'static str, Tensor)>;

    /// What measures the weights on held-out examples, with figures named `valid_…`.
    ///
    /// # Errors
    /// An error of planning or of the device.
    fn examine<'a>(&'a self, context: &Context, weights: &Weights) -> Result<Examination<'a>, Error>;
}

/// What a call of returns the figures of held-out examples.
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
        let figures = task.figures(&graph, recipe.batch);
        let warm_up = (recipe.steps / 20).max(1) as u32;
        let schedule = Schedule::cosine((recipe.steps as u32).saturating_sub(warm_up).max(1)).after_warmup(warm_up);
        if let Some((_, loss)) = figures.first() {
            AdamW::new(recipe.rate).clip_norm(1.0).schedule(schedule).minimise(loss);
        }
        let outputs: Vec<(&str, &Tensor)> = figures.iter().map(|(name, tensor)| (*name, tensor)).collect();
        let plan = graph.plan(&outputs, context.target())?;
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
