//! Parameters and state on the device, by name, shared by every session that uses them.

use super::Session;
use crate::{
    data::{Array, TensorDesc},
    error::{Error, ErrorKind},
    gpu::{Buffer, Context, Readback, Staging},
    graph::{Graph, Init, Mode, Role, Variable},
    plan::{Plan, padded},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// The parameters and state of a network. Cheap to clone; clones are the same memory.
///
/// A training and an inference session over the same `Weights` see the same numbers, and so do
/// sessions for other batch sizes.
#[derive(Clone, Debug)]
pub struct Weights {
    context: Context,
    seed: u64,
    entries: Arc<Mutex<BTreeMap<Arc<str>, Entry>>>,
    staging: Staging,
    /// Bytes written since the device was last known to have all of them.
    waiting: Arc<AtomicU64>,
}

#[derive(Clone, Debug)]
struct Entry {
    variable: Variable,
    buffer: Arc<Buffer>,
}

impl Weights {
    /// Allocates the parameters and state of a plan and draws their initial values on the device.
    ///
    /// Each value depends on the seed and the variable's name only, not on the other variables.
    ///
    /// # Errors
    /// Too little memory, or an error of the device.
    pub fn init(context: &Context, plan: &Plan, seed: u64) -> Result<Weights, Error> {
        let weights = Weights {
            context: context.clone(),
            seed,
            entries: Arc::default(),
            staging: Staging::default(),
            waiting: Arc::default(),
        };
        weights.extend(plan)?;
        Ok(weights)
    }

    /// Adds what another plan uses and these weights lack, with values of the same seed.
    ///
    /// # Errors
    /// A name that both have with different shapes or types; too little memory; an error of the device.
    pub fn extend(&self, plan: &Plan) -> Result<(), Error> {
        let mut missing = Vec::new();
        for variable in plan.variables().iter().filter(|variable| variable.role != Role::Input) {
            match self.entries().get(&variable.name) {
                Some(known) if known.variable.desc == variable.desc => {}
                Some(known) => return Err(clash(&variable.name, &known.variable.desc, &variable.desc)),
                None => missing.push(variable.clone()),
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let wanted: Vec<_> = missing.iter().map(|v| (&*v.name, padded(v.desc.bytes()))).collect();
        for (variable, buffer) in missing.iter().zip(self.context.allocate_all(&wanted)?) {
            let entry = Entry { variable: variable.clone(), buffer: Arc::new(buffer) };
            self.entries().insert(variable.name.clone(), entry);
        }
        self.draw(&missing)
    }

    /// Fills variables with their initial values: a graph like any other. New memory is zero already.
    fn draw(&self, variables: &[Variable]) -> Result<(), Error> {
        let drawn = variables.iter().filter_map(|variable| Some((variable, variable.init?)));
        let drawn: Vec<_> = drawn.filter(|(_, init)| *init != Init::zeros()).collect();
        if drawn.is_empty() {
            return Ok(());
        }
        let graph = Graph::new(Mode::Infer);
        for (variable, init) in drawn {
            let target = graph.state(&variable.name, variable.desc.clone(), init);
            let value = graph.initial(&variable.name, &variable.desc, init, self.seed);
            graph.assign(&target, &value);
        }
        let plan = graph.plan(&[], self.context.target())?;
        Session::new(&self.context, plan, self)?.run()
    }

    /// The same memory with the running means of [`Optimizer::average`](crate::optim::Optimizer::average) in place
    /// of the parameters they belong to: what an inference session evaluates or a checkpoint hands out.
    ///
    /// Parameters without a mean, and all other state, are those of these weights. Nothing is copied, so
    /// that later training moves both.
    ///
    /// ```
    /// # use wgrad::{optim::Sgd, prelude::*};
    /// # fn main() -> Result<(), Error> {
    /// # let context = wgrad::testing::context();
    /// let net = |graph: &Graph| graph.parameter("w", [3], Init::ones()).square().sum_all();
    /// let graph = Graph::new(Mode::Train);
    /// let loss = net(&graph);
    /// Sgd::new(0.1).average(0.99).minimise(&loss);
    /// let plan = graph.plan(&[("loss", &loss)], context.target())?;
    /// let weights = Weights::init(context, &plan, 1)?;
    /// Session::new(context, plan, &weights)?.run()?;
    ///
    /// let graph = Graph::new(Mode::Infer);
    /// let plan = graph.plan(&[("y", &net(&graph))], context.target())?;
    /// let session = Session::new(context, plan, &weights.averaged()?)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// No mean at all; a mean for a parameter of half floats, which means are not.
    pub fn averaged(&self) -> Result<Weights, Error> {
        let mut entries = self.entries().clone();
        let means: Vec<(Arc<str>, Entry)> = entries
            .iter()
            .filter_map(|(name, entry)| Some((name.strip_prefix("average.")?.into(), entry.clone())))
            .collect();
        let mut found = false;
        for (name, mean) in means {
            let Some(parameter) = entries.get_mut(&name).filter(|known| known.variable.role == Role::Parameter) else {
                continue;
            };
            if parameter.variable.desc != mean.variable.desc {
                return Err(clash(&name, &parameter.variable.desc, &mean.variable.desc));
            }
            parameter.buffer = mean.buffer;
            found = true;
        }
        if !found {
            let error = Error::new(ErrorKind::Name, "the weights have no running means");
            return Err(error.hint("train them with an optimizer's average(decay)"));
        }
        Ok(Weights { entries: Arc::new(Mutex::new(entries)), ..self.clone() })
    }

    /// The same parameters, and the state that these plans only read, beside memory of its own for what they change and
    /// for the seed: what one generation keeps to itself. Nothing of the weights is copied.
    ///
    /// # Errors
    /// A parameter, or state that is only read, that the weights lack or have with another shape or type; too little
    /// memory; an error of the device.
    pub fn beside(&self, plans: &[&Plan], seed: u64) -> Result<Weights, Error> {
        let changes = |variable: &Variable| plans.iter().any(|plan| plan.changes().any(|v| v.name == variable.name));
        let is_own = |variable: &Variable| changes(variable) || variable.name.starts_with("seed.");
        let own = Weights { seed, entries: Arc::default(), ..self.clone() };
        for variable in plans.iter().flat_map(|plan| plan.variables()) {
            if variable.role != Role::Input && !is_own(variable) {
                let entry = Entry { variable: variable.clone(), buffer: self.buffer(variable)? };
                own.entries().insert(variable.name.clone(), entry);
            }
        }
        plans.iter().try_for_each(|plan| own.extend(plan))?;
        Ok(own)
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The device they are on.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Names, roles, shapes and types, sorted by name.
    pub fn variables(&self) -> Vec<Variable> {
        self.entries().values().map(|entry| entry.variable.clone()).collect()
    }

    pub(crate) fn buffer(&self, variable: &Variable) -> Result<Arc<Buffer>, Error> {
        match self.entries().get(&variable.name) {
            Some(known) if known.variable.desc == variable.desc => Ok(known.buffer.clone()),
            Some(known) => Err(clash(&variable.name, &known.variable.desc, &variable.desc)),
            None => Err(Error::new(ErrorKind::Name, format!("the weights have no {:?}", variable.name))
                .hint("make them with Weights::init(&context, &plan, seed), or add to them with extend(&plan)")),
        }
    }

    fn find(&self, name: &str) -> Result<Entry, Error> {
        self.entries()
            .get(name)
            .cloned()
            .ok_or_else(|| Error::new(ErrorKind::Name, format!("the weights have no {name:?}")))
    }

    /// Replaces a value.
    ///
    /// # Errors
    /// An unknown name, another shape or type, or an error of the device.
    pub fn write(&self, name: &str, array: &Array) -> Result<(), Error> {
        let entry = self.find(name)?;
        if entry.variable.desc != *array.desc() {
            return Err(clash(name, &entry.variable.desc, array.desc()));
        }
        self.upload(&entry, 0, array.bytes())
    }

    /// Replaces the bytes of a value from the one at `offset` on, a multiple of 4; so is their number, but at the end.
    pub(crate) fn write_bytes(&self, name: &str, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let entry = self.find(name)?;
        self.upload(&entry, offset, bytes)
    }

    /// The queue keeps copies of what it is given until it has been submitted and done, so that all weights written at
    /// once would be in memory twice.
    fn upload(&self, entry: &Entry, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        const PORTION: usize = 8 << 20;
        for (i, portion) in bytes.chunks(PORTION).enumerate() {
            let offset = offset + (i * PORTION) as u64;
            let write = || super::run::upload(&self.context, entry.buffer.raw(), offset, portion);
            self.context.guarded(&entry.variable.name, write)?;
            let count = portion.len() as u64;
            if self.waiting.fetch_add(count, Ordering::Relaxed) + count >= PORTION as u64 {
                self.settle()?;
            }
        }
        Ok(())
    }

    /// Gives what was written to the device and, but in a browser, waits until it has it: the copies in host memory
    /// are freed.
    pub(crate) fn settle(&self) -> Result<(), Error> {
        self.waiting.store(0, Ordering::Relaxed);
        self.context.guarded("weights", || self.context.queue().submit([]))?;
        #[cfg(not(target_arch = "wasm32"))]
        self.context.wait()?;
        Ok(())
    }

    /// Reads a value, after everything submitted so far.
    ///
    /// # Errors
    /// An unknown name, or an error of the device.
    pub fn fetch(&self, name: &str) -> Result<Readback, Error> {
        let entry = self.find(name)?;
        Readback::start(&self.context, &self.staging, entry.buffer.raw(), &entry.variable.desc)
    }

    /// Reads a value and waits for it.
    ///
    /// # Errors
    /// An unknown name, or an error of the device.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn read(&self, name: &str) -> Result<Array, Error> {
        self.fetch(name)?.wait()
    }
}

fn clash(name: &str, has: &TensorDesc, wants: &TensorDesc) -> Error {
    Error::new(ErrorKind::Shape, format!("{name:?} is {has} in the weights, not {wants}"))
}
