//! From graph to plan: what runs in which order, fused how, in which memory.
//!
//! A plan is plain data: it needs no device, and the same graph gives the same plan. Its steps are
//! dispatches with every buffer resolved, so a session only replays them.

mod chain;
mod fuse;
mod lower;
mod memory;
mod parts;
mod report;

pub use memory::Memory;
pub use report::{Report, StepReport};

use crate::{
    data::TensorDesc,
    error::{Error, ErrorKind, Misfit},
    graph::{Emit, Graph, Io, Mode, NodeId, Role, Tensor, ValueId, Variable},
    kernel::{Arg, Cost, Dispatch, Kernel, Slice, Target},
};
use chain::Chain;
use fuse::{Fusion, Unit};
use lower::Lowered;
use memory::Span;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Where a value's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Home {
    /// The variable with this index in the plan.
    Variable(usize),
    /// The slot with this index.
    Slot(usize),
}

/// One binding of a step.
#[derive(Clone, Debug)]
pub(crate) enum Bound {
    /// A range of a buffer. With `texture` it is read by a texture that lies over it, where the memory has one: each
    /// thread reads of what the step also writes no more than it then writes itself.
    Buffer {
        home: Home,
        offset: u64,
        bytes: u64,
        texture: bool,
    },
    Uniform {
        offset: u64,
        bytes: u64,
    },
}

/// One dispatch of a plan.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub kernel: Kernel,
    pub bindings: Vec<Bound>,
    pub workgroups: [u32; 3],
    pub cost: Cost,
    /// The operations it computes, `matmul+add+relu`.
    pub ops: String,
    pub layer: String,
}

/// A network made ready to run on one kind of device: see [`Graph::plan`].
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) steps: Vec<Step>,
    /// The inputs, parameters and state it uses.
    pub(crate) variables: Vec<Variable>,
    /// Which of them a run changes.
    changed: Vec<bool>,
    /// Bytes of each slot.
    pub(crate) slots: Vec<u64>,
    /// All uniforms, in one buffer.
    pub(crate) uniforms: Vec<u32>,
    pub(crate) outputs: BTreeMap<String, (Home, TensorDesc)>,
    memory: Memory,
    target: Target,
}

/// What [`Graph::plan`] may be asked to leave out, for tests and comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanOptions {
    /// Whether pointwise work is fused into chains and epilogues.
    pub fuse: bool,
    /// Whether pointwise work may write over what it reads last, where that takes less memory.
    pub in_place: bool,
    /// Whether steps may run in another order than they were written in, where that takes less memory.
    pub reorder: bool,
}

impl Default for PlanOptions {
    fn default() -> PlanOptions {
        PlanOptions { fuse: true, in_place: true, reorder: true }
    }
}

/// Offsets of uniforms are multiples of this many bytes on every device.
const UNIFORM_ALIGNMENT: usize = 256;

impl Graph {
    /// Plans the computation of named outputs, and of every in-place change of parameters and state.
    ///
    /// # Errors
    /// The first mistake made in writing the graph; a doubled output name; a value read after it was
    /// overwritten; a value or kernel that exceeds the target's limits.
    pub fn plan(&self, outputs: &[(&str, &Tensor)], target: &Target) -> Result<Plan, Error> {
        self.plan_with(outputs, target, PlanOptions::default())
    }

    /// [`plan`](Graph::plan) with options.
    ///
    /// # Errors
    /// As [`plan`](Graph::plan).
    pub fn plan_with(&self, outputs: &[(&str, &Tensor)], target: &Target, options: PlanOptions) -> Result<Plan, Error> {
        self.check()?;
        let mut named: Vec<(String, ValueId)> = Vec::new();
        for (name, tensor) in outputs {
            if !tensor.graph().is(self) {
                return Err(Error::new(ErrorKind::Name, format!("output {name:?} belongs to another graph")));
            }
            if named.iter().any(|(known, _)| known == name) {
                return Err(Error::new(ErrorKind::Name, format!("output name {name:?} is given twice")));
            }
            named.push(((*name).to_owned(), tensor.id()));
        }
        let graph = self.counting_steps();
        let data = graph.data().clone();
        let lowered = Lowered::new(data, named)?;
        Planner { lowered, target, options, shared: HashMap::new() }.plan()
    }

    /// The graph, or for a training graph that counts steps a copy that also adds one to it.
    fn counting_steps(&self) -> Graph {
        let data = self.data();
        let counts = data.mode == Mode::Train && data.find("step").is_some_and(|step| step.role == Role::State);
        if !counts {
            drop(data);
            return self.clone();
        }
        let copy = Graph::from_data(data.clone());
        drop(data);
        let step = copy.step();
        copy.increment(&step);
        copy
    }
}

struct Planner<'a> {
    lowered: Lowered,
    target: &'a Target,
    options: PlanOptions,
    /// Values that are written over another value, and that value.
    shared: HashMap<ValueId, ValueId>,
}

/// What runs together, in order.
type Units = Vec<(Unit, Option<Chain>)>;

impl Planner<'_> {
    fn plan(mut self) -> Result<Plan, Error> {
        let options = self.options;
        let emitted = self.emit_all()?;
        let mut fusion = Fusion::new(&self.lowered, self.target, &emitted);
        fusion.join_all(options.fuse);
        let orders = [true, options.reorder].into_iter().take_while(|&wanted| wanted).zip([false, true]);
        let orders: Vec<Units> = orders.map(|(_, thrifty)| fusion.units(thrifty)).collect();
        // As written, unless another way takes less memory.
        let mut best: Option<Plan> = None;
        let mut consider = |plan: Plan| {
            if best.as_ref().is_none_or(|best| plan.memory.session() < best.memory.session()) {
                best = Some(plan);
            }
        };
        for mut units in orders {
            self.shared.clear();
            consider(self.lay_out(&units, &emitted)?);
            if options.in_place {
                self.write_over(&mut units, &emitted);
                if !self.shared.is_empty() {
                    consider(self.lay_out(&units, &emitted)?);
                }
            }
        }
        best.ok_or_else(internal)
    }

    /// Lets chains write a result over an input that nothing needs any more, element by element.
    fn write_over(&mut self, units: &mut Units, emitted: &HashMap<NodeId, Emit>) {
        let read_by = |unit: &Unit, chain: &Option<Chain>| -> Vec<ValueId> {
            let anchored = unit.anchor.iter().flat_map(|id| self.lowered.inputs(*id));
            let dispatched = unit.anchor.iter().flat_map(|id| &emitted[id].dispatches).flat_map(|d| &d.args);
            let chained = chain.iter().flat_map(|chain| chain.inputs.iter().map(|input| input.value));
            anchored.chain(dispatched.filter_map(arg_value)).chain(chained).collect()
        };
        let mut last: HashMap<ValueId, usize> = HashMap::new();
        for (at, (unit, chain)) in units.iter().enumerate() {
            for value in read_by(unit, chain) {
                last.insert(self.storage(value), at);
            }
        }
        let kept: Vec<ValueId> = self.lowered.outputs.iter().map(|&(_, value)| self.storage(value)).collect();
        for (at, (unit, chain)) in units.iter_mut().enumerate() {
            let Some(chain) = chain else { continue };
            let anchor = unit.anchor.map(|_| read_by(&Unit { anchor: unit.anchor, chain: Vec::new() }, &None));
            let anchor: Vec<ValueId> = anchor.into_iter().flatten().map(|value| self.storage(value)).collect();
            let mut stays = Vec::new();
            for (call, value, dtype) in std::mem::take(&mut chain.outputs) {
                let ends_here = |input: &chain::Input| {
                    let storage = self.storage(input.value);
                    let names = chain.inputs.iter().filter(|other| self.storage(other.value) == storage).count();
                    input.update.is_none()
                        && self.home_variable(input.value).is_none()
                        && input.desc.shape == chain.shape
                        && input.desc.dtype == dtype
                        && last.get(&storage) == Some(&at)
                        && names == 1
                        && !anchor.contains(&storage)
                        && !kept.contains(&storage)
                };
                let over = chain.inputs.iter().position(ends_here).filter(|_| !kept.contains(&self.storage(value)));
                match over {
                    None => stays.push((call, value, dtype)),
                    Some(input) => {
                        chain.inputs[input].update = Some((call, value));
                        let storage = self.storage(chain.inputs[input].value);
                        let end = last.get(&self.storage(value)).copied().unwrap_or(at);
                        last.insert(storage, end);
                        self.shared.insert(value, storage);
                    }
                }
            }
            chain.outputs = stays;
        }
    }

    /// The plan of units in their order.
    fn lay_out(&self, units: &Units, emitted: &HashMap<NodeId, Emit>) -> Result<Plan, Error> {
        let mut spans = Spans::default();
        let mut planned: Vec<(&Unit, Vec<Dispatch>)> = Vec::new();
        for (unit, chain) in units {
            let node = self.lowered.node(unit.nodes().next().ok_or_else(internal)?);
            let (mut dispatches, scratch) = match unit.anchor {
                Some(anchor) => (emitted[&anchor].dispatches.clone(), emitted[&anchor].scratch.clone()),
                None => (Vec::new(), Vec::new()),
            };
            match (unit.anchor, chain) {
                (Some(anchor), Some(chain)) => chain.fuse_behind(&mut dispatches, self.lowered.node(anchor).outputs[0]),
                (None, Some(chain)) => {
                    dispatches = chain.dispatches(self.target).map_err(|bytes| {
                        let limit = self.target.max_binding_bytes;
                        let reason =
                            format!("a broadcast input has {bytes} bytes, one binding of this device covers {limit}");
                        node.locate(Misfit::limit(reason).of(node.op.name()))
                    })?;
                }
                (Some(anchor), None) => chain::store_vectors(&mut dispatches, self.lowered.node(anchor).outputs[0]),
                (None, None) => {}
            }
            dispatches.retain(|dispatch| !dispatch.workgroups.contains(&0));
            for (value, desc) in scratch {
                spans.scratch.insert(value, desc);
            }
            planned.push((unit, dispatches));
        }
        self.check_limits(&planned)?;
        self.build(&planned, spans)
    }

    /// The dispatches of every live node that is not pointwise.
    fn emit_all(&self) -> Result<HashMap<NodeId, Emit>, Error> {
        let mut next = self.lowered.data.values.len() as u32;
        let mut emitted = HashMap::new();
        for &id in &self.lowered.live {
            let node = self.lowered.node(id);
            if node.op.pointwise().is_some() {
                continue;
            }
            let with_desc = |value: ValueId| (value, self.lowered.data.desc(value).clone());
            let inputs = self.lowered.inputs(id).map(with_desc).collect();
            let io = Io::new(inputs, node.outputs.iter().map(|&value| with_desc(value)).collect());
            let mut emit = Emit::new(next);
            parts::emit(&*node.op, &io, self.target, &mut emit)
                .map_err(|misfit| node.locate(misfit.of(node.op.name())))?;
            next = emit.next;
            emitted.insert(id, emit);
        }
        Ok(emitted)
    }

    fn check_limits(&self, planned: &[(&Unit, Vec<Dispatch>)]) -> Result<(), Error> {
        for (unit, dispatches) in planned {
            for dispatch in dispatches {
                let node = self.lowered.node(unit.nodes().next().ok_or_else(internal)?);
                let buffers = dispatch.args.iter().filter(|arg| !matches!(arg, Arg::Params(_))).count();
                let limit = self.target.max_storage_buffers as usize;
                let widest = dispatch.workgroups.iter().max().copied().unwrap_or(0);
                let reason = if buffers > limit {
                    format!("binds {buffers} buffers, this device allows {limit}")
                } else if widest > self.target.max_workgroups {
                    format!(
                        "needs {widest} workgroups along one dimension, this device allows {}",
                        self.target.max_workgroups
                    )
                } else {
                    continue;
                };
                return Err(node.locate(Misfit::limit(reason).of(node.op.name())));
            }
        }
        Ok(())
    }

    /// Resolves every argument to a variable or a slot.
    fn build(&self, planned: &[(&Unit, Vec<Dispatch>)], mut spans: Spans) -> Result<Plan, Error> {
        for (step, (_, dispatches)) in planned.iter().enumerate() {
            for value in dispatches.iter().flat_map(|dispatch| &dispatch.args).filter_map(arg_value) {
                if self.home_variable(value).is_none() {
                    let storage = self.storage(value);
                    let bytes = self.desc(&spans, value).bytes().max(self.desc(&spans, storage).bytes());
                    spans.touch(storage, step, padded(bytes));
                }
            }
        }
        let mut outputs = BTreeMap::new();
        for (name, value) in &self.lowered.outputs {
            if self.home_variable(*value).is_none() {
                let storage = self.storage(*value);
                spans.touch(storage, usize::MAX, padded(self.lowered.data.desc(storage).bytes()));
                if let Some(span) = spans.values.get_mut(&storage) {
                    // An output keeps its buffer, so that the app may read it at any time.
                    span.first = 0;
                    span.last = usize::MAX;
                }
            }
            outputs.insert(name.clone(), *value);
        }

        let mut order: Vec<(ValueId, Span)> = spans.values.iter().map(|(&value, &span)| (value, span)).collect();
        order.sort_by_key(|(value, _)| *value);
        let list: Vec<Span> = order.iter().map(|(_, span)| *span).collect();
        let (slot_of, slots) = memory::assign(&list);
        let slot: HashMap<ValueId, usize> =
            order.iter().zip(&slot_of).map(|((value, _), &slot)| (*value, slot)).collect();

        // Variables the plan uses, in declaration order.
        let used_values = planned.iter().flat_map(|(_, d)| d).flat_map(|d| &d.args).filter_map(arg_value);
        let mut used: Vec<usize> =
            used_values.chain(outputs.values().copied()).filter_map(|value| self.home_variable(value)).collect();
        used.sort_unstable();
        used.dedup();
        let written = planned.iter().flat_map(|(_, d)| d).flat_map(|d| &d.args).filter_map(|arg| match arg {
            Arg::Write(slice) | Arg::Update(slice, _) => self.home_variable(slice.value),
            Arg::Read(_) | Arg::Params(_) => None,
        });
        let written: HashSet<usize> = written.collect();
        let changed = used.iter().map(|variable| written.contains(variable)).collect();
        let variables: Vec<Variable> = used.iter().map(|&i| self.lowered.data.variables[i].clone()).collect();
        let home = |value: ValueId| -> Result<Home, Error> {
            match self.home_variable(value) {
                Some(variable) => used.binary_search(&variable).map(Home::Variable).map_err(|_| internal()),
                None => slot.get(&self.storage(value)).map(|&slot| Home::Slot(slot)).ok_or_else(internal),
            }
        };

        let mut uniforms = Uniforms::default();
        let mut steps = Vec::new();
        for (unit, dispatches) in planned {
            let names: Vec<&str> = unit.nodes().map(|id| self.lowered.node(id).op.name()).collect();
            let layer = self.lowered.node(unit.nodes().next().ok_or_else(internal)?).layer.to_string();
            for dispatch in dispatches {
                let mut bindings = Vec::with_capacity(dispatch.args.len());
                let mut textures = if self.target.class.is_software() { self.target.textures } else { 0 };
                let mut texture = |value: ValueId| {
                    let has = self.desc(&spans, value).dtype.bytes() == 4 && textures > 0;
                    textures -= u32::from(has);
                    has
                };
                for arg in &dispatch.args {
                    bindings.push(match arg {
                        Arg::Params(params) => uniforms.place(params.words()),
                        Arg::Read(slice) | Arg::Update(slice, _) => {
                            self.bind(&spans, slice, home(slice.value)?, texture(slice.value))
                        }
                        Arg::Write(slice) => self.bind(&spans, slice, home(slice.value)?, false),
                    });
                }
                steps.push(Step {
                    kernel: dispatch.kernel.clone(),
                    bindings,
                    workgroups: dispatch.workgroups,
                    cost: dispatch.cost,
                    ops: names.join("+"),
                    layer: layer.clone(),
                });
            }
        }
        let outputs = outputs
            .into_iter()
            .map(|(name, value)| Ok((name, (home(value)?, self.lowered.data.desc(value).clone()))))
            .collect::<Result<BTreeMap<_, _>, Error>>()?;
        let memory = memory_of(&variables, &slots, &outputs, &list, &uniforms);
        Ok(Plan {
            steps,
            variables,
            changed,
            slots,
            uniforms: uniforms.words,
            outputs,
            memory,
            target: self.target.clone(),
        })
    }

    fn bind(&self, spans: &Spans, slice: &Slice, home: Home, texture: bool) -> Bound {
        let whole = padded(self.desc(spans, slice.value).bytes());
        let bytes = slice.bytes.unwrap_or(whole - slice.offset);
        Bound::Buffer { home, offset: slice.offset, bytes, texture }
    }

    fn is_scratch(&self, value: ValueId) -> bool {
        value.index() >= self.lowered.data.values.len()
    }

    fn desc<'d>(&'d self, spans: &'d Spans, value: ValueId) -> &'d TensorDesc {
        if self.is_scratch(value) { &spans.scratch[&value] } else { self.lowered.data.desc(value) }
    }

    fn storage(&self, value: ValueId) -> ValueId {
        let storage = if self.is_scratch(value) { value } else { self.lowered.storage(value) };
        self.shared.get(&storage).copied().unwrap_or(storage)
    }

    fn home_variable(&self, value: ValueId) -> Option<usize> {
        if self.is_scratch(value) { None } else { self.lowered.variable(value) }
    }
}

/// The bytes of a plan by role.
fn memory_of(
    variables: &[Variable],
    slots: &[u64],
    outputs: &BTreeMap<String, (Home, TensorDesc)>,
    spans: &[Span],
    uniforms: &Uniforms,
) -> Memory {
    let of_role = |role| variables.iter().filter(|v| v.role == role).map(|v| padded(v.desc.bytes())).sum();
    let mut output_slots: Vec<usize> = outputs.values().filter_map(|(home, _)| slot_of(*home)).collect();
    output_slots.sort_unstable();
    output_slots.dedup();
    let readback = outputs.values().map(|(_, desc)| staged(desc.bytes())).sum();
    let outputs: u64 = output_slots.iter().map(|&slot| slots[slot]).sum();
    Memory {
        parameters: of_role(Role::Parameter),
        state: of_role(Role::State),
        inputs: of_role(Role::Input),
        outputs,
        activations: slots.iter().sum::<u64>() - outputs,
        activations_without_reuse: spans.iter().map(|span| span.bytes).sum::<u64>() - outputs,
        uniforms: padded((uniforms.words.len() * 4) as u64),
        readback,
    }
}

fn arg_value(arg: &Arg) -> Option<ValueId> {
    match arg {
        Arg::Read(slice) | Arg::Write(slice) | Arg::Update(slice, _) => Some(slice.value),
        Arg::Params(_) => None,
    }
}

fn slot_of(home: Home) -> Option<usize> {
    match home {
        Home::Slot(slot) => Some(slot),
        Home::Variable(_) => None,
    }
}

/// Buffers are whole vectors of four words, so that vector loads may reach the last element.
pub(crate) fn padded(bytes: u64) -> u64 {
    bytes.next_multiple_of(16).max(16)
}

/// The bytes that an output takes on its way to the host.
pub(crate) fn staged(bytes: u64) -> u64 {
    bytes.next_multiple_of(4).max(4)
}

fn internal() -> Error {
    Error::new(ErrorKind::Limit, "plan: a step uses a value that nothing computes; this is a mistake in wgrad")
}

/// The lifetimes of values that live in slots.
#[derive(Default)]
struct Spans {
    values: HashMap<ValueId, Span>,
    scratch: HashMap<ValueId, TensorDesc>,
}

impl Spans {
    fn touch(&mut self, value: ValueId, step: usize, bytes: u64) {
        let span = self.values.entry(value).or_insert(Span { first: step, last: step, bytes });
        span.first = span.first.min(step);
        span.last = span.last.max(step);
        span.bytes = span.bytes.max(bytes);
    }
}

/// All uniforms of a plan; equal ones are kept once.
#[derive(Default)]
struct Uniforms {
    words: Vec<u32>,
    known: HashMap<Vec<u32>, u64>,
}

impl Uniforms {
    fn place(&mut self, words: Vec<u32>) -> Bound {
        let bytes = (words.len() * 4) as u64;
        if let Some(&offset) = self.known.get(&words) {
            return Bound::Uniform { offset, bytes };
        }
        self.words.resize(self.words.len().next_multiple_of(UNIFORM_ALIGNMENT / 4), 0);
        let offset = (self.words.len() * 4) as u64;
        self.words.extend_from_slice(&words);
        self.known.insert(words, offset);
        Bound::Uniform { offset, bytes }
    }
}

impl Plan {
    /// The bytes it needs, by role.
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// The device it was made for.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The inputs, parameters and state it uses.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// The parameters and state that a run changes.
    pub fn changes(&self) -> impl Iterator<Item = &Variable> {
        self.variables.iter().zip(&self.changed).filter(|(_, changed)| **changed).map(|(variable, _)| variable)
    }

    /// The kernel of each dispatch, in order.
    pub fn kernels(&self) -> impl Iterator<Item = &Kernel> {
        self.steps.iter().map(|step| &step.kernel)
    }

    /// The names and descriptions of its outputs.
    pub fn outputs(&self) -> impl Iterator<Item = (&str, &TensorDesc)> {
        self.outputs.iter().map(|(name, (_, desc))| (name.as_str(), desc))
    }
}
