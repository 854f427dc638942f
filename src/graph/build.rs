//! The graph itself: values, nodes in writing order, the first mistake, and the current layer.

use super::{NodeId, Op, Precision, Tensor, ValueId};
use crate::{
    data::{DType, Shape, TensorDesc},
    error::{Error, ErrorKind, Place},
};
use smallvec::SmallVec;
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Whether layers behave as in training (dropout on) or as in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Training: dropout drops, gradients and updates may follow.
    Train,
    /// Use: dropout passes its input on.
    Infer,
}

/// What a named value of a graph is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Written by the host before a run.
    Input,
    /// Trained and saved.
    Parameter,
    /// Saved but not trained: moments, the step, running means.
    State,
}

/// Initial values of a variable, drawn on the device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// The same number everywhere.
    Constant(f32),
    /// Uniform between −bound and bound.
    Uniform {
        /// The bound.
        bound: f32,
    },
    /// Normal.
    Normal {
        /// The mean.
        mean: f32,
        /// The standard deviation.
        std: f32,
    },
    /// Normal with mean 0 but for one row, which is zero: an embedding's padding.
    NormalBut {
        /// The standard deviation.
        std: f32,
        /// The index of the row.
        row: u32,
    },
    /// A word of the seed given to `Weights::init`: what dropout draws from.
    Seed {
        /// 0 for the low word, 1 for the high one.
        word: u32,
    },
}

impl Init {
    /// Zeros.
    pub fn zeros() -> Init {
        Init::Constant(0.0)
    }

    /// Ones.
    pub fn ones() -> Init {
        Init::Constant(1.0)
    }

    /// U(±1/√fan_in): the default of PyTorch's linear and convolution layers.
    pub fn fan_in(fan_in: usize) -> Init {
        Init::Uniform { bound: 1.0 / (fan_in.max(1) as f32).sqrt() }
    }

    /// U(±√(6/(fan_in+fan_out))): Glorot and Bengio's initial values.
    pub fn xavier(fan_in: usize, fan_out: usize) -> Init {
        Init::Uniform { bound: (6.0 / (fan_in + fan_out).max(1) as f32).sqrt() }
    }

    /// N(0, std²).
    pub fn normal(std: f32) -> Init {
        Init::Normal { mean: 0.0, std }
    }
}

/// A named value: an input, a parameter or a piece of state.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Its full name, `features.0.weight`.
    pub name: Arc<str>,
    /// What it is for.
    pub role: Role,
    /// Shape and element type.
    pub desc: TensorDesc,
    /// Initial values; inputs have none.
    pub init: Option<Init>,
    pub(crate) value: ValueId,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The variable with this index.
    Variable(usize),
    /// An output of a node.
    Node(NodeId, usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub desc: TensorDesc,
    pub source: Source,
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub op: Arc<dyn Op>,
    pub inputs: SmallVec<[ValueId; 4]>,
    pub outputs: SmallVec<[ValueId; 2]>,
    pub place: Place,
    pub layer: Arc<str>,
    /// The checkpointed segment it was written in, counted from 1; 0 outside.
    pub segment: u32,
    /// The copy of a segment it belongs to, counted from 1; 0 for what is computed once.
    pub copy: u32,
}

impl Node {
    /// Adds this node's place and layer to an error.
    pub fn locate(&self, error: Error) -> Error {
        error.at(self.place).in_layer(&self.layer)
    }
}

/// How sequences go on from earlier runs: what `nn::Continuation` says, as data.
#[derive(Clone, Debug)]
pub(crate) struct Continuing {
    /// How many tokens of each sequence there are.
    pub seen: ValueId,
    /// How many there is room for.
    pub most: usize,
    /// In the run that begins: how many tokens of each prompt count, and how many sequences go on from it.
    pub begins: Option<(ValueId, usize)>,
    /// The sequence whose past each takes over, and how many exchange theirs.
    pub source: Option<(ValueId, usize)>,
}

#[derive(Clone, Debug)]
pub(crate) struct GraphData {
    pub mode: Mode,
    pub values: Vec<Value>,
    pub nodes: Vec<Node>,
    pub variables: Vec<Variable>,
    pub error: Option<Error>,
    /// For each copy of a segment the number of nodes written before it: it runs apart from those.
    pub copies: Vec<u32>,
    layer: Arc<str>,
    place: Option<Place>,
    streams: u32,
    floats: DType,
    mixed: bool,
    continuing: Option<Continuing>,
    segment: u32,
    segments: u32,
    copy: u32,
}

impl GraphData {
    pub fn desc(&self, value: ValueId) -> &TensorDesc {
        &self.values[value.index()].desc
    }

    pub fn find(&self, name: &str) -> Option<&Variable> {
        self.variables.iter().find(|variable| &*variable.name == name)
    }

    fn push_value(&mut self, desc: TensorDesc, source: Source) -> ValueId {
        let value = ValueId(self.values.len() as u32);
        self.values.push(Value { desc, source });
        value
    }

    fn fail(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }
}

/// A network, written once and planned for as many devices and sizes as wanted.
///
/// Writing never fails: the first mistake is kept, what follows it does nothing, and
/// [`check`](Graph::check) and `plan` return it. The handle is cheap to clone; clones are the same
/// graph.
#[derive(Clone)]
pub struct Graph(Arc<Mutex<GraphData>>);

impl Graph {
    /// An empty graph.
    pub fn new(mode: Mode) -> Graph {
        Graph(Arc::new(Mutex::new(GraphData {
            mode,
            values: Vec::new(),
            nodes: Vec::new(),
            variables: Vec::new(),
            error: None,
            copies: Vec::new(),
            layer: "".into(),
            place: None,
            streams: 0,
            floats: DType::F32,
            mixed: false,
            continuing: None,
            segment: 0,
            segments: 0,
            copy: 0,
        })))
    }

    pub(crate) fn data(&self) -> MutexGuard<'_, GraphData> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn from_data(data: GraphData) -> Graph {
        Graph(Arc::new(Mutex::new(data)))
    }

    pub(crate) fn is(&self, other: &Graph) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Training or use.
    pub fn mode(&self) -> Mode {
        self.data().mode
    }

    /// The first mistake made in writing the graph.
    ///
    /// # Errors
    /// That mistake.
    pub fn check(&self) -> Result<(), Error> {
        self.data().error.clone().map_or(Ok(()), Err)
    }

    /// Records a mistake found outside an operation's shape rule, at the caller's line.
    #[track_caller]
    pub fn fail(&self, error: Error) {
        let mut data = self.data();
        let error = error.at(data.place.unwrap_or(Place::here())).in_layer(&data.layer.clone());
        data.fail(error);
    }

    /// A tensor that stands for a mistake already recorded.
    pub(crate) fn failed(&self) -> Tensor {
        Tensor { graph: self.clone(), value: ValueId::FAILED }
    }

    /// A value the host writes before a run, `f32`.
    #[track_caller]
    pub fn input(&self, name: &str, shape: impl Into<Shape>) -> Tensor {
        self.input_of(name, shape, DType::F32)
    }

    /// A value the host writes before a run, of any element type.
    #[track_caller]
    pub fn input_of(&self, name: &str, shape: impl Into<Shape>, dtype: DType) -> Tensor {
        self.variable(name.into(), Role::Input, TensorDesc::new(shape, dtype), None)
    }

    /// A value that is trained and saved, `f32` or as [`floats`](Graph::floats) says, named below the current layer.
    ///
    /// Asking for a name again, with the same shape, shares the value.
    #[track_caller]
    pub fn parameter(&self, name: &str, shape: impl Into<Shape>, init: Init) -> Tensor {
        let floats = self.data().floats;
        self.parameter_of(name, TensorDesc::new(shape, floats), init)
    }

    /// Runs `body` with parameters of `dtype` where layers do not say their own: models written so hold half the bytes
    /// and compute on them. Their inputs are to be of the same type.
    ///
    /// ```
    /// # use wgrad::{nn::*, prelude::*};
    /// let graph = Graph::new(Mode::Infer);
    /// let ids = graph.input_of("ids", [2, 5], DType::U32);
    /// let y = graph.floats(DType::F16, || wgrad::chain![embed(100, 8), linear(3)].apply(&ids));
    /// assert_eq!(y.dtype(), DType::F16);
    /// ```
    pub fn floats<T>(&self, dtype: DType, body: impl FnOnce() -> T) -> T {
        let outer = std::mem::replace(&mut self.data().floats, dtype);
        let result = body();
        self.data().floats = outer;
        result
    }

    /// A value that is trained and saved, of either floating point type.
    #[track_caller]
    pub fn parameter_of(&self, name: &str, desc: TensorDesc, init: Init) -> Tensor {
        self.variable(self.full_name(name), Role::Parameter, desc, Some(init))
    }

    /// A value that is saved but not trained: moments, counters, running means.
    #[track_caller]
    pub fn state(&self, name: &str, desc: TensorDesc, init: Init) -> Tensor {
        self.variable(self.full_name(name), Role::State, desc, Some(init))
    }

    /// The number of training steps already done: state `step`, a `u32` scalar.
    ///
    /// A plan of a training graph that declares it adds one at its end.
    #[track_caller]
    pub fn step(&self) -> Tensor {
        self.variable("step".into(), Role::State, TensorDesc::new([], DType::U32), Some(Init::zeros()))
    }

    /// The seed that random operations draw from: states `seed.0` and `seed.1`, its two `u32` words.
    #[track_caller]
    pub fn seed(&self) -> [Tensor; 2] {
        let desc = TensorDesc::new([], DType::U32);
        let state = |word| self.variable(format!("seed.{word}"), Role::State, desc.clone(), Some(Init::Seed { word }));
        [state(0), state(1)]
    }

    /// A number for each random operation of the graph, so that no two draw the same.
    pub fn next_stream(&self) -> u32 {
        let mut data = self.data();
        data.streams += 1;
        data.streams
    }

    fn full_name(&self, name: &str) -> String {
        let data = self.data();
        if data.layer.is_empty() { name.to_owned() } else { format!("{}.{name}", data.layer) }
    }

    #[track_caller]
    fn variable(&self, name: String, role: Role, desc: TensorDesc, init: Option<Init>) -> Tensor {
        let mut data = self.data();
        let (place, layer) = (data.place.unwrap_or(Place::here()), data.layer.clone());
        let refuse = |data: &mut GraphData, kind, message: String| {
            data.fail(Error::new(kind, message).at(place).in_layer(&layer));
        };
        if let Some(known) = data.find(&name).cloned() {
            if known.role != role || known.desc != desc {
                let message = format!(
                    "name {name:?} is already {} {}, not {} {}",
                    article(known.role),
                    known.desc,
                    article(role),
                    desc
                );
                refuse(&mut data, ErrorKind::Name, message);
                drop(data);
                return self.failed();
            }
            drop(data);
            return Tensor { graph: self.clone(), value: known.value };
        }
        if desc.shape.numel() > u32::MAX as usize {
            refuse(&mut data, ErrorKind::Limit, format!("{name}: {desc} has more than 4294967295 elements"));
            drop(data);
            return self.failed();
        }
        let source = Source::Variable(data.variables.len());
        let value = data.push_value(desc.clone(), source);
        data.variables.push(Variable { name: name.into(), role, desc, init, value });
        drop(data);
        Tensor { graph: self.clone(), value }
    }

    /// The tensors of all parameters, in the order they were declared.
    pub fn parameters(&self) -> Vec<Tensor> {
        let data = self.data();
        let parameters = data.variables.iter().filter(|variable| variable.role == Role::Parameter);
        parameters.map(|variable| Tensor { graph: self.clone(), value: variable.value }).collect()
    }

    /// All inputs, parameters and state declared so far.
    pub fn variables(&self) -> Vec<Variable> {
        self.data().variables.clone()
    }

    /// Runs `body` and gives the parameters it declares the initial values that `rule` has for them, as models
    /// do that do not keep their layers' own.
    ///
    /// ```
    /// # use wgrad::{nn::*, prelude::*};
    /// let graph = Graph::new(Mode::Train);
    /// let x = graph.input("x", [8, 5]);
    /// graph.initialise(|v| (v.desc.shape.rank() > 1).then(|| Init::normal(0.02)), || linear(3).apply(&x));
    /// assert_eq!(graph.variables()[1].init, Some(Init::normal(0.02)));
    /// assert_eq!(graph.variables()[2].init, Some(Init::fan_in(5)));
    /// ```
    pub fn initialise<T>(&self, rule: impl Fn(&Variable) -> Option<Init>, body: impl FnOnce() -> T) -> T {
        let first = self.data().variables.len();
        let result = body();
        for variable in &mut self.data().variables[first..] {
            if variable.role == Role::Parameter {
                variable.init = rule(variable).or(variable.init);
            }
        }
        result
    }

    /// Adds a node: the only way a value is computed.
    ///
    /// Returns the operation's outputs. After a mistake it returns as many tensors that stand for it.
    #[track_caller]
    pub fn apply(&self, op: impl Op, inputs: &[&Tensor]) -> Vec<Tensor> {
        let cast = self.in_mixed_precision(&op, inputs);
        let cast: Option<Vec<&Tensor>> = cast.as_ref().map(|cast| cast.iter().collect());
        let inputs = cast.as_deref().unwrap_or(inputs);
        let mut data = self.data();
        let place = data.place.unwrap_or(Place::here());
        let layer = data.layer.clone();
        let count = op.outputs();
        if inputs.iter().any(|tensor| !tensor.graph.is(self)) {
            let message = format!("{}: its inputs belong to different graphs", op.name());
            data.fail(Error::new(ErrorKind::Name, message).at(place).in_layer(&layer));
        }
        if data.error.is_some() || inputs.iter().any(|tensor| tensor.is_failed()) {
            drop(data);
            return vec![self.failed(); count];
        }
        let descs: Vec<TensorDesc> = inputs.iter().map(|tensor| data.desc(tensor.value).clone()).collect();
        let outputs =
            op.infer(&descs).and_then(|outputs| match outputs.iter().find(|d| d.shape.numel() > u32::MAX as usize) {
                Some(desc) => Err(crate::error::Misfit::limit(format!("{desc} has more than 4294967295 elements"))),
                None => Ok(outputs),
            });
        match outputs {
            Err(misfit) => {
                data.fail(misfit.of(op.name()).at(place).in_layer(&layer));
                drop(data);
                vec![self.failed(); count]
            }
            Ok(outputs) => {
                let id = NodeId(data.nodes.len() as u32);
                let values: SmallVec<[ValueId; 2]> = outputs
                    .into_iter()
                    .enumerate()
                    .map(|(i, desc)| data.push_value(desc, Source::Node(id, i)))
                    .collect();
                let inputs = inputs.iter().map(|tensor| tensor.value).collect();
                let (segment, copy) = (data.segment, data.copy);
                let outputs = values.clone();
                data.nodes.push(Node { op: Arc::new(op), inputs, outputs, place, layer, segment, copy });
                drop(data);
                values.into_iter().map(|value| Tensor { graph: self.clone(), value }).collect()
            }
        }
    }

    /// Runs `body` in mixed precision: products take `f16`, sums and losses `f32`, and between them numbers of 16 bits
    /// win, as in `torch.autocast`. Parameters stay `f32` and are cast where they are used.
    ///
    /// Products sum in `f32`, and so do norms and softmax, whatever they take. Write the loss outside, of logits cast to
    /// `f32`, and give the optimizer a [`loss_scale`](crate::optim::Optimizer::loss_scale).
    ///
    /// ```
    /// # use wgrad::{chain, nn::*, optim::{AdamW, LossScale}, prelude::*};
    /// let graph = Graph::new(Mode::Train);
    /// let (x, label) = (graph.input("x", [8, 3]), graph.input_of("label", [8], DType::U32));
    /// let logits = graph.mixed(|| chain![linear(16), relu(), linear(2)].apply(&x));
    /// assert_eq!(logits.dtype(), DType::F16);
    /// let loss = logits.cast(DType::F32).cross_entropy(&label);
    /// AdamW::new(1e-3).loss_scale(LossScale::default()).minimise(&loss);
    /// assert!(graph.parameters().iter().all(|parameter| parameter.dtype() == DType::F32));
    /// # graph.check().unwrap();
    /// ```
    pub fn mixed<T>(&self, body: impl FnOnce() -> T) -> T {
        let outer = std::mem::replace(&mut self.data().mixed, true);
        let result = body();
        self.data().mixed = outer;
        result
    }

    /// The inputs of an operation in the element types that [`mixed`](Graph::mixed) wants, where it wants others.
    #[track_caller]
    fn in_mixed_precision(&self, op: &impl Op, inputs: &[&Tensor]) -> Option<Vec<Tensor>> {
        let fits = {
            let data = self.data();
            // What is changed in place keeps its type.
            if !data.mixed || data.error.is_some() || op.overwrites().is_some() || inputs.iter().any(|x| x.is_failed())
            {
                return None;
            }
            let descs: Vec<TensorDesc> = inputs.iter().map(|x| data.desc(x.value).clone()).collect();
            op.infer(&descs).is_ok()
        };
        let has = |dtype: DType| inputs.iter().any(|x| x.dtype() == dtype);
        let wanted = match op.precision() {
            Precision::Half if has(DType::F32) => DType::F16,
            Precision::Single if has(DType::F16) => DType::F32,
            Precision::Any if !fits && has(DType::F32) && has(DType::F16) => DType::F16,
            _ => return None,
        };
        Some(inputs.iter().map(|&x| if x.dtype().is_float() { x.cast(wanted) } else { x.clone() }).collect())
    }

    /// Adds a node of an operation with one output.
    #[track_caller]
    pub fn apply1(&self, op: impl Op, inputs: &[&Tensor]) -> Tensor {
        self.apply(op, inputs).swap_remove(0)
    }

    /// Runs `body` one layer deeper: names and messages get `name` appended to their path.
    ///
    /// An empty name adds nothing.
    pub fn scoped<T>(&self, name: &str, body: impl FnOnce() -> T) -> T {
        let outer = self.data().layer.clone();
        let inner = match (outer.is_empty(), name.is_empty()) {
            (_, true) => outer.to_string(),
            (true, _) => name.to_owned(),
            _ => format!("{outer}.{name}"),
        };
        self.data().layer = inner.into();
        let result = body();
        self.data().layer = outer;
        result
    }

    /// Runs `body` with mistakes attributed to `place` instead of the lines inside it.
    ///
    /// Where calls are nested the outermost wins: it is the one in the user's program.
    pub fn placed<T>(&self, place: Place, body: impl FnOnce() -> T) -> T {
        let outer = self.data().place;
        self.data().place = Some(outer.unwrap_or(place));
        let result = body();
        self.data().place = outer;
        result
    }

    /// Runs `body` whose layers go on with sequences of earlier runs.
    pub(crate) fn continuing<T>(&self, how: Continuing, body: impl FnOnce() -> T) -> T {
        let outer = self.data().continuing.replace(how);
        let result = body();
        self.data().continuing = outer;
        result
    }

    /// How layers go on here, if they do.
    pub(crate) fn continues(&self) -> Option<Continuing> {
        self.data().continuing.clone()
    }

    /// The tensor of a value.
    pub(crate) fn tensor(&self, value: ValueId) -> Tensor {
        Tensor { graph: self.clone(), value }
    }

    /// Runs `body`, a segment of the network, whose values are computed again for the gradients instead of being
    /// kept for them: less memory for about one more forward pass through the segment.
    ///
    /// Only values that are read outside the segment are kept, and what changes state in place runs once. The
    /// copy has the same attributes, so dropout drops the same elements and the gradients are the same bits, unless
    /// a driver rounds pointwise work differently where other work is fused with it.
    /// A segment inside another is part of the outer one. `torch.utils.checkpoint`.
    ///
    /// ```
    /// # use wgrad::{nn::*, optim::AdamW, prelude::*};
    /// # fn main() -> Result<(), Error> {
    /// let activations = |checkpointed: bool| {
    ///     let graph = Graph::new(Mode::Train);
    ///     let block = encoder_layer(4, 256);
    ///     let y = (0..12).fold(graph.input("x", [4, 64, 64]), |x, i| {
    ///         let layer = || block.apply_at(&i.to_string(), &x);
    ///         if checkpointed { graph.checkpointed(layer) } else { layer() }
    ///     });
    ///     AdamW::new(1e-3).minimise(&y.square().mean_all());
    ///     Ok::<u64, Error>(graph.plan(&[], &wgrad::kernel::Target::baseline())?.memory().activations)
    /// };
    /// assert!(activations(true)? * 3 < activations(false)?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn checkpointed<T>(&self, body: impl FnOnce() -> T) -> T {
        let outer = {
            let mut data = self.data();
            let outer = data.segment;
            if outer == 0 {
                data.segments += 1;
                data.segment = data.segments;
            }
            outer
        };
        let result = body();
        self.data().segment = outer;
        result
    }

    /// Begins a copy of a segment, apart from all nodes so far, and returns its number.
    pub(crate) fn begin_copy(&self, after: u32) -> u32 {
        let mut data = self.data();
        data.copies.push(after);
        data.copies.len() as u32
    }

    /// Adds a node that computes once more what another does, from other inputs; returns its outputs.
    pub(crate) fn repeat(&self, node: &Node, inputs: SmallVec<[ValueId; 4]>, copy: u32) -> SmallVec<[ValueId; 2]> {
        let mut data = self.data();
        let id = NodeId(data.nodes.len() as u32);
        let descs: Vec<TensorDesc> = node.outputs.iter().map(|&value| data.desc(value).clone()).collect();
        let outputs: SmallVec<[ValueId; 2]> =
            descs.into_iter().enumerate().map(|(i, desc)| data.push_value(desc, Source::Node(id, i))).collect();
        data.nodes.push(Node { inputs, outputs: outputs.clone(), segment: 0, copy, ..node.clone() });
        outputs
    }

    /// Runs `body` in the layer and at the line of another node, and as part of a copy of its segment if that is
    /// not 0: how gradients keep their origin.
    pub(crate) fn in_origin_of<T>(&self, node: &Node, copy: u32, body: impl FnOnce() -> T) -> T {
        let (layer, place, mixed, outer) = {
            let mut data = self.data();
            let mixed = std::mem::take(&mut data.mixed);
            let layer = std::mem::replace(&mut data.layer, node.layer.clone());
            (layer, data.place.replace(node.place), mixed, std::mem::replace(&mut data.copy, copy))
        };
        let result = body();
        let mut data = self.data();
        data.layer = layer;
        data.place = place;
        data.mixed = mixed;
        data.copy = outer;
        result
    }
}

fn article(role: Role) -> &'static str {
    match role {
        Role::Input => "an input",
        Role::Parameter => "a parameter",
        Role::State => "state",
    }
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data = self.data();
        write!(f, "Graph({:?}, {} values, {} nodes)", data.mode, data.values.len(), data.nodes.len())
    }
}
