//! Which nodes run together: pointwise chains, and chains behind an operation that stores through one.

use super::{
    chain::{Call, Chain, Input, Operand},
    lower::Lowered,
};
use crate::{
    data::Shape,
    graph::{Emit, NodeId, ValueId},
    kernel::{Arg, Target},
};
use std::collections::{HashMap, HashSet, VecDeque};

/// Nodes that become one step: at most one that is not pointwise, and the pointwise ones fused with it.
#[derive(Clone, Debug, Default)]
pub(super) struct Unit {
    /// The node that is not pointwise.
    pub anchor: Option<NodeId>,
    /// The pointwise nodes in writing order.
    pub chain: Vec<NodeId>,
}

impl Unit {
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.anchor.iter().chain(&self.chain).copied()
    }
}

/// What fusion needs to know of the graph.
pub(super) struct Fusion<'a> {
    lowered: &'a Lowered,
    target: &'a Target,
    emitted: &'a HashMap<NodeId, Emit>,
    consumers: HashMap<ValueId, Vec<NodeId>>,
    units: Vec<Unit>,
    unit_of: HashMap<NodeId, usize>,
}

impl<'a> Fusion<'a> {
    pub fn new(lowered: &'a Lowered, target: &'a Target, emitted: &'a HashMap<NodeId, Emit>) -> Fusion<'a> {
        let mut consumers: HashMap<ValueId, Vec<NodeId>> = HashMap::new();
        for &id in &lowered.live {
            for value in lowered.inputs(id) {
                consumers.entry(value).or_default().push(id);
                // A view's reader reads its base.
                let mut base = value;
                while let Some(node) = lowered.direct_producer(base).filter(|&n| lowered.node(n).op.is_view()) {
                    base = lowered.canonical(lowered.node(node).inputs[0]);
                    consumers.entry(base).or_default().push(id);
                }
            }
        }
        Fusion { lowered, target, emitted, consumers, units: Vec::new(), unit_of: HashMap::new() }
    }

    /// Puts nodes together; without fusion each is a unit of its own.
    pub fn join_all(&mut self, fuse: bool) {
        for &id in &self.lowered.live {
            if self.is_inlined_everywhere(id) {
                continue;
            }
            let unit = self.units.len();
            let pointwise = self.lowered.node(id).op.pointwise().is_some();
            self.unit_of.insert(id, unit);
            self.units.push(if pointwise {
                Unit { anchor: None, chain: vec![id] }
            } else {
                Unit { anchor: Some(id), chain: Vec::new() }
            });
            if pointwise && fuse {
                self.join_producers(id);
            }
        }
    }

    /// The units with their chains in an order in which they can run: about that in which they were written, or one
    /// that keeps less alive.
    pub fn units(&self, thrifty: bool) -> Vec<(Unit, Option<Chain>)> {
        let written = self.schedule();
        let order = if thrifty { self.thrifty(written) } else { written };
        order.into_iter().map(|i| (self.units[i].clone(), self.chain(&self.units[i]))).collect()
    }

    fn shape(&self, id: NodeId) -> &Shape {
        &self.lowered.data.desc(self.lowered.node(id).outputs[0]).shape
    }

    /// A constant: pointwise work without inputs that is the same at every element.
    fn is_constant(&self, id: NodeId) -> bool {
        let node = self.lowered.node(id);
        node.inputs.is_empty() && node.op.pointwise().is_some_and(|pointwise| !pointwise.index)
    }

    /// Constants are written into the chains that use them; they need memory only for other readers.
    fn is_inlined_everywhere(&self, id: NodeId) -> bool {
        let output = self.lowered.node(id).outputs[0];
        self.is_constant(id)
            && !self.lowered.outputs.iter().any(|&(_, value)| self.lowered.storage(value) == output)
            && self.consumers.get(&output).is_none_or(|readers| {
                readers.iter().all(|&reader| {
                    self.lowered.node(reader).op.pointwise().is_some()
                        && self.lowered.inputs(reader).all(|value| {
                            self.lowered.producer(value) != Some(id) || self.lowered.direct_producer(value) == Some(id)
                        })
                })
            })
    }

    /// Joins a pointwise node with the units of its inputs' producers where that is allowed, and again
    /// while that makes room: a value that now stays inside the unit needs no buffer any more.
    fn join_producers(&mut self, id: NodeId) {
        while let Some((theirs, ours, joined)) = self.next_join(id) {
            for node in joined.nodes() {
                self.unit_of.insert(node, theirs);
            }
            self.units[theirs] = joined;
            self.units[ours] = Unit::default();
        }
    }

    /// A unit of a producer that may be joined with the unit of a node, and the two joined.
    fn next_join(&self, id: NodeId) -> Option<(usize, usize, Unit)> {
        let ours = self.unit_of[&id];
        let producer_of = |node: NodeId, value: ValueId| {
            let producer = self.lowered.direct_producer(value)?;
            let theirs = *self.unit_of.get(&producer)?;
            let first = self.lowered.node(producer).outputs.first() == Some(&value);
            (theirs != ours && first && self.shape(producer) == self.shape(node)).then_some(theirs)
        };
        let chain = &self.units[ours].chain;
        let producers =
            chain.iter().flat_map(|&node| self.lowered.inputs(node).filter_map(move |value| producer_of(node, value)));
        let mut tried: Vec<usize> = Vec::new();
        for theirs in producers {
            if tried.contains(&theirs) {
                continue;
            }
            tried.push(theirs);
            if let Some(joined) = self.join(theirs, ours).filter(|joined| self.is_legal(joined, [theirs, ours])) {
                return Some((theirs, ours, joined));
            }
        }
        None
    }

    fn join(&self, a: usize, b: usize) -> Option<Unit> {
        let (a, b) = (&self.units[a], &self.units[b]);
        let anchor = match (a.anchor, b.anchor) {
            (Some(_), Some(_)) => return None,
            (a, b) => a.or(b),
        };
        let mut chain: Vec<NodeId> = a.chain.iter().chain(&b.chain).copied().collect();
        chain.sort();
        Some(Unit { anchor, chain })
    }

    fn is_legal(&self, unit: &Unit, parts: [usize; 2]) -> bool {
        let first = self.shape(unit.chain[0]);
        if unit.chain.iter().any(|&id| self.shape(id) != first) || self.mixes_copies(unit) {
            return false;
        }
        let Some(chain) = self.chain(unit) else { return false };
        // What the unit computes it may hand on only from call to call, not through memory.
        let inner = |value: ValueId| self.lowered.producer(value).is_some_and(|node| unit.nodes().any(|id| id == node));
        let read = chain.inputs.iter().map(|input| input.value);
        let anchored = unit.anchor.into_iter().flat_map(|anchor| self.lowered.inputs(anchor));
        if read.chain(anchored).any(inner) {
            return false;
        }
        let mut buffers = chain.buffers();
        if let Some(anchor) = unit.anchor {
            let node = self.lowered.node(anchor);
            let emit = &self.emitted[&anchor];
            let output = node.outputs[0];
            let stores = |arg: &Arg| matches!(arg, Arg::Write(slice) if slice.value == output);
            let finishing = emit.dispatches.iter().filter(|d| d.args.iter().any(stores));
            let anchors_fit = !emit.dispatches.is_empty()
                && finishing.clone().count() > 0
                && finishing.clone().all(|d| d.finishes && d.kernel.stores_through_chain())
                && self.shape(anchor) == first;
            let whole = |value: ValueId| self.lowered.data.desc(value).bytes() <= self.target.max_binding_bytes;
            let fits = chain.inputs.iter().all(|input| whole(input.value))
                && chain.outputs.iter().all(|&(_, value, _)| whole(value));
            let updated: Vec<ValueId> =
                chain.inputs.iter().filter(|i| i.update.is_some()).map(|i| self.lowered.storage(i.value)).collect();
            let disturbed = self.lowered.inputs(anchor).any(|value| updated.contains(&self.lowered.storage(value)));
            if !anchors_fit || !fits || disturbed {
                return false;
            }
            let own = finishing.map(|d| d.args.iter().filter(|a| !matches!(a, Arg::Params(_))).count() - 1).max();
            buffers += own.unwrap_or(0);
        }
        buffers <= self.target.max_storage_buffers as usize
            && self.updates_are_local(unit, &chain)
            && !self.makes_cycle(unit, parts)
    }

    /// Whether nodes that compute a segment again, or its gradients, would run together with nodes before the copy:
    /// their values would be kept from then on.
    fn mixes_copies(&self, unit: &Unit) -> bool {
        let first = unit.nodes().min().map_or(0, NodeId::index);
        let copies = &self.lowered.data.copies;
        let copy = |id: NodeId| (self.lowered.node(id).copy as usize).checked_sub(1).and_then(|at| copies.get(at));
        unit.nodes().filter_map(copy).any(|&after| first < after as usize)
    }

    /// A value that the unit changes in place may be read there only at the element being changed,
    /// by one name, and changed once.
    fn updates_are_local(&self, unit: &Unit, chain: &Chain) -> bool {
        chain.inputs.iter().filter(|input| input.update.is_some()).all(|updated| {
            let storage = self.lowered.storage(updated.value);
            let aliases = chain.inputs.iter().filter(|input| self.lowered.storage(input.value) == storage).count();
            updated.desc.shape == chain.shape && aliases == 1
        }) && unit.chain.iter().filter(|&&id| self.lowered.node(id).op.overwrites().is_some()).count()
            == chain.inputs.iter().filter(|input| input.update.is_some()).count()
    }

    /// The units a unit must run after.
    fn before(&self, unit: &Unit) -> Vec<usize> {
        let mut before = Vec::new();
        for id in unit.nodes() {
            let producers = self.lowered.inputs(id).filter_map(|value| self.lowered.producer(value));
            let readers = self.lowered.readers_before.get(&id).into_iter().flatten().copied();
            before.extend(producers.chain(readers).filter_map(|node| self.unit_of.get(&node).copied()));
        }
        before.sort_unstable();
        before.dedup();
        before
    }

    /// Whether a path leads from one of the parts out of the joined unit and back into it.
    fn makes_cycle(&self, joined: &Unit, parts: [usize; 2]) -> bool {
        let mut open: Vec<usize> = self.before(joined).into_iter().filter(|unit| !parts.contains(unit)).collect();
        let mut seen: HashSet<usize> = open.iter().copied().collect();
        while let Some(unit) = open.pop() {
            for before in self.before(&self.units[unit]) {
                if parts.contains(&before) {
                    return true;
                }
                if seen.insert(before) {
                    open.push(before);
                }
            }
        }
        false
    }

    /// Runs what is ready in writing order, in-place changes as soon as they can be: gradients and what they are made
    /// from are needed no longer then. So what is small does not wait either, such as the learning rate, which is
    /// written last and which all updates need.
    fn schedule(&self) -> Vec<usize> {
        /// The bytes of a value that may as well be kept.
        const SMALL: u64 = 1024;
        let key = |unit: usize| {
            let nodes = &self.units[unit];
            let updates = nodes.nodes().any(|id| self.lowered.node(id).op.overwrites().is_some());
            let mut outputs = nodes.nodes().flat_map(|id| &self.lowered.node(id).outputs);
            let small = outputs.all(|&value| self.lowered.data.desc(value).bytes() <= SMALL);
            let turn = if updates { 0 } else { 2 - u32::from(small) };
            (turn, nodes.anchor.or(nodes.chain.first().copied()))
        };
        let used: Vec<usize> = (0..self.units.len()).filter(|&i| self.units[i].nodes().next().is_some()).collect();
        let mut waiting: HashMap<usize, usize> = HashMap::new();
        let mut after: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut ready = std::collections::BTreeSet::new();
        for &unit in &used {
            let before: Vec<usize> = self.before(&self.units[unit]).into_iter().filter(|&b| b != unit).collect();
            if before.is_empty() {
                ready.insert((key(unit), unit));
            }
            waiting.insert(unit, before.len());
            for b in before {
                after.entry(b).or_default().push(unit);
            }
        }
        let mut order = Vec::with_capacity(used.len());
        while let Some((_, unit)) = ready.pop_first() {
            order.push(unit);
            for &next in after.get(&unit).into_iter().flatten() {
                if let Some(count) = waiting.get_mut(&next) {
                    *count -= 1;
                    if *count == 0 {
                        ready.insert((key(next), next));
                    }
                }
            }
        }
        debug_assert_eq!(order.len(), used.len(), "fusion made a cycle");
        order
    }

    /// The values a unit reads or writes, by the value whose memory they share, with their bytes.
    fn touched(&self, unit: &Unit) -> HashMap<ValueId, u64> {
        let chain = self.chain(unit);
        let chained = chain.iter().flat_map(|chain| {
            let outputs = chain.outputs.iter().map(|&(_, value, _)| value);
            chain.inputs.iter().map(|input| input.value).chain(outputs)
        });
        let anchor = unit.anchor.iter();
        let anchored = anchor.flat_map(|&id| {
            // What a chain behind the first output makes of it is stored instead of it.
            let skipped = usize::from(chain.is_some());
            self.lowered.inputs(id).chain(self.lowered.node(id).outputs.iter().skip(skipped).copied())
        });
        let values = chained.chain(anchored).filter(|&value| self.lowered.variable(value).is_none());
        let outputs = &self.lowered.outputs;
        values
            .map(|value| self.lowered.storage(value))
            .filter(|&storage| !outputs.iter().any(|&(_, value)| self.lowered.storage(value) == storage))
            .map(|storage| (storage, self.lowered.data.desc(storage).bytes()))
            .collect()
    }

    /// Of the next few units in writing order that can run, always the one after which the fewest bytes are alive.
    ///
    /// Only near ones are looked at, so that nothing that belongs to the gradients runs in the forward pass.
    fn thrifty(&self, written: Vec<usize>) -> Vec<usize> {
        const NEAR: usize = 16;
        let touched: HashMap<usize, HashMap<ValueId, u64>> =
            written.iter().map(|&unit| (unit, self.touched(&self.units[unit]))).collect();
        let mut uses: HashMap<ValueId, usize> = HashMap::new();
        for value in touched.values().flat_map(HashMap::keys) {
            *uses.entry(*value).or_default() += 1;
        }
        let before: HashMap<usize, Vec<usize>> = written
            .iter()
            .map(|&unit| (unit, self.before(&self.units[unit]).into_iter().filter(|&b| b != unit).collect()))
            .collect();
        let (mut done, mut alive): (HashSet<usize>, HashSet<ValueId>) = Default::default();
        let mut left: VecDeque<usize> = written.into();
        let mut order = Vec::with_capacity(left.len());
        while !left.is_empty() {
            let growth = |unit: usize| -> i128 {
                let values = touched[&unit].iter();
                values
                    .map(|(value, &bytes)| {
                        let (born, dies) = (!alive.contains(value), uses[value] == 1);
                        (i128::from(born) - i128::from(dies)) * i128::from(bytes)
                    })
                    .sum()
            };
            let ready = |unit: usize| before[&unit].iter().all(|b| done.contains(b));
            let near = left.iter().copied().take(NEAR).enumerate().filter(|&(_, unit)| ready(unit));
            // The first one left is always ready.
            let at = near.min_by_key(|&(at, unit)| (growth(unit), at)).map_or(0, |(at, _)| at);
            let Some(unit) = left.remove(at) else { break };
            for value in touched[&unit].keys() {
                alive.insert(*value);
                if let Some(count) = uses.get_mut(value) {
                    *count -= 1;
                }
            }
            done.insert(unit);
            order.push(unit);
        }
        order
    }

    /// The chain of a unit's pointwise nodes; none for a unit without any.
    fn chain(&self, unit: &Unit) -> Option<Chain> {
        let first = unit.chain.first()?;
        let mut chain = Chain { shape: self.shape(*first).clone(), ..Chain::default() };
        let mut results: HashMap<ValueId, Operand> = HashMap::new();
        if let Some(anchor) = unit.anchor {
            results.insert(self.lowered.node(anchor).outputs[0], Operand::Anchor);
        }
        let mut constants: HashMap<NodeId, Operand> = HashMap::new();
        for &id in &unit.chain {
            let node = self.lowered.node(id);
            let mut operands = smallvec::SmallVec::new();
            for value in self.lowered.inputs(id) {
                operands.push(match (results.get(&value), self.lowered.direct_producer(value)) {
                    (Some(operand), _) => *operand,
                    (None, Some(producer)) if self.is_constant(producer) => *constants
                        .entry(producer)
                        .or_insert_with(|| Self::call(&mut chain, self.lowered, producer, Default::default())),
                    _ => Operand::Input(self.input(&mut chain, value)),
                });
            }
            let call = Self::call(&mut chain, self.lowered, id, operands);
            let output = node.outputs[0];
            results.insert(output, call);
            let Operand::Call(index) = call else { continue };
            if let Some((_, overwritten)) = node.op.overwrites() {
                let old = self.lowered.canonical(node.inputs[overwritten]);
                let input = self.input(&mut chain, old);
                chain.inputs[input].update = Some((index, output));
            } else if self.is_stored(output, unit) {
                chain.outputs.push((index, output, self.lowered.data.desc(output).dtype));
            }
        }
        if let Some(anchor) = unit.anchor {
            let output = self.lowered.node(anchor).outputs[0];
            if self.is_stored(output, unit) {
                let call = keep_anchor(&mut chain);
                chain.outputs.push((call, output, self.lowered.data.desc(output).dtype));
            }
        }
        Some(chain)
    }

    fn call(chain: &mut Chain, lowered: &Lowered, id: NodeId, operands: smallvec::SmallVec<[Operand; 4]>) -> Operand {
        let node = lowered.node(id);
        if let Some(function) = node.op.pointwise() {
            chain.calls.push(Call { function, operands });
        }
        Operand::Call(chain.calls.len() - 1)
    }

    fn input(&self, chain: &mut Chain, value: ValueId) -> usize {
        let desc = self.lowered.data.desc(value);
        // A view with the same elements in the same shape is the same input.
        let same =
            |input: &Input| self.lowered.storage(input.value) == self.lowered.storage(value) && input.desc == *desc;
        if let Some(i) = chain.inputs.iter().position(same) {
            i
        } else {
            chain.inputs.push(Input { value, desc: desc.clone(), update: None });
            chain.inputs.len() - 1
        }
    }

    /// Whether anything outside the unit reads a value.
    fn is_stored(&self, value: ValueId, unit: &Unit) -> bool {
        let read = self.consumers.get(&value).is_some_and(|readers| readers.iter().any(|id| !unit.chain.contains(id)));
        read || self.lowered.outputs.iter().any(|&(_, output)| self.lowered.storage(output) == value)
    }
}

/// A call that passes the anchor's own result on, for readers outside the unit.
fn keep_anchor(chain: &mut Chain) -> usize {
    let function = crate::graph::Pointwise::new(crate::shader!("expand"), "expand");
    chain.calls.push(Call { function, operands: [Operand::Anchor].into_iter().collect() });
    chain.calls.len() - 1
}
