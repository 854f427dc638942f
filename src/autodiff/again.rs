//! What checkpointed segments compute again for their gradients.

use crate::graph::{Graph, Node, NodeId, Source, Tensor, ValueId};
use smallvec::SmallVec;
use std::collections::{BTreeSet, HashMap};

/// The values of a graph as gradient rules get them: those of a segment from a copy, all others as they are.
pub(super) struct Again<'a> {
    graph: &'a Graph,
    nodes: &'a [Node],
    sources: &'a [Source],
    /// For each value whether it is kept for the gradients, not computed again.
    kept: Vec<bool>,
    /// The number of a segment's copy.
    copies: HashMap<u32, u32>,
    /// The copies of values.
    repeated: HashMap<ValueId, ValueId>,
}

impl<'a> Again<'a> {
    pub fn new(graph: &'a Graph, nodes: &'a [Node], sources: &'a [Source]) -> Again<'a> {
        let kept = if nodes.iter().any(|node| node.segment != 0) { kept(nodes, sources) } else { Vec::new() };
        Again { graph, nodes, sources, kept, copies: HashMap::new(), repeated: HashMap::new() }
    }

    /// The number of the copy that gradients of a node belong to: 0 for a node outside all segments.
    pub fn copy_of(&mut self, node: &Node) -> u32 {
        match node.segment {
            0 => 0,
            segment => *self.copies.entry(segment).or_insert_with(|| self.graph.begin_copy(self.nodes.len() as u32)),
        }
    }

    /// A value for a gradient rule.
    pub fn tensor(&mut self, value: ValueId) -> Tensor {
        if self.is_repeated(value).is_some() && !self.repeated.contains_key(&value) {
            self.repeat(value);
        }
        Tensor { graph: self.graph.clone(), value: self.now(value) }
    }

    /// The node that computes a value again, if one does.
    fn is_repeated(&self, value: ValueId) -> Option<NodeId> {
        match self.sources[value.index()] {
            Source::Node(id, _) if self.nodes[id.index()].segment != 0 && !self.kept[value.index()] => Some(id),
            _ => None,
        }
    }

    fn now(&self, value: ValueId) -> ValueId {
        self.repeated.get(&value).copied().unwrap_or(value)
    }

    /// Writes the nodes that compute a value again, in the order in which they were written at first.
    fn repeat(&mut self, value: ValueId) {
        let mut needed: BTreeSet<NodeId> = BTreeSet::new();
        let mut open = vec![value];
        while let Some(value) = open.pop() {
            if let Some(id) = self.is_repeated(value).filter(|_| !self.repeated.contains_key(&value))
                && needed.insert(id)
            {
                open.extend(&self.nodes[id.index()].inputs);
            }
        }
        for id in needed {
            let node = &self.nodes[id.index()];
            let inputs: SmallVec<[ValueId; 4]> = node.inputs.iter().map(|&input| self.now(input)).collect();
            let copy = self.copy_of(node);
            let outputs = self.graph.repeat(node, inputs, copy);
            for (&old, new) in node.outputs.iter().zip(outputs) {
                if !self.kept[old.index()] {
                    self.repeated.insert(old, new);
                }
            }
        }
    }
}

/// For each value whether it is kept: read outside the segment that computes it, or bound to a moment by a
/// change in place.
fn kept(nodes: &[Node], sources: &[Source]) -> Vec<bool> {
    let mut kept = vec![false; sources.len()];
    for node in nodes {
        for input in &node.inputs {
            if let Source::Node(producer, _) = sources[input.index()] {
                let segment = nodes[producer.index()].segment;
                kept[input.index()] |= segment != 0 && segment != node.segment;
            }
        }
    }
    // A variable that is changed in place has another value later.
    let variable = |mut value: ValueId| loop {
        match sources[value.index()] {
            Source::Variable(index) => return Some(index),
            Source::Node(id, _) if nodes[id.index()].op.is_view() => value = nodes[id.index()].inputs[0],
            Source::Node(..) => return None,
        }
    };
    let overwritten = |node: &Node| node.op.overwrites().map(|(_, input)| node.inputs[input]);
    let changed: BTreeSet<usize> = nodes.iter().filter_map(overwritten).filter_map(variable).collect();
    for node in nodes.iter().rev() {
        let bound = node.op.overwrites().is_some()
            || node.inputs.iter().any(|&input| variable(input).is_some_and(|variable| changed.contains(&variable)));
        if bound {
            node.outputs.iter().for_each(|output| kept[output.index()] = true);
        }
        // What a kept view shows is kept.
        if node.op.is_view() && kept[node.outputs[0].index()] {
            kept[node.inputs[0].index()] = true;
        }
    }
    kept
}
