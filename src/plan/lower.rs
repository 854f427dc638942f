//! From the graph to the nodes that matter: dead code dropped, equal nodes merged, views resolved,
//! in-place changes checked.

use crate::{
    error::{Error, ErrorKind},
    graph::{GraphData, Node, NodeId, Role, Source, ValueId},
};
use smallvec::SmallVec;
use std::collections::HashMap;

/// The live part of a graph. Values keep their numbers; `canonical` merges equal ones.
pub(super) struct Lowered {
    pub data: GraphData,
    /// Live nodes that dispatch something, in writing order.
    pub live: Vec<NodeId>,
    /// The value whose memory a value shares: itself, a view's base, or what is changed in place.
    storage: Vec<ValueId>,
    canonical: Vec<ValueId>,
    /// Nodes that must run before a node although it uses nothing of theirs: readers of what it overwrites.
    pub readers_before: HashMap<NodeId, Vec<NodeId>>,
    pub outputs: Vec<(String, ValueId)>,
}

impl Lowered {
    pub fn new(data: GraphData, outputs: Vec<(String, ValueId)>) -> Result<Lowered, Error> {
        let values = data.values.len();
        let mut lowered = Lowered {
            live: Vec::new(),
            storage: (0..values as u32).map(ValueId).collect(),
            canonical: (0..values as u32).map(ValueId).collect(),
            readers_before: HashMap::new(),
            outputs,
            data,
        };
        let alive = lowered.alive();
        lowered.merge_equal(&alive);
        // Merging may leave producers without a reader.
        let alive = lowered.alive();
        lowered.resolve(&alive);
        lowered.check_in_place()?;
        Ok(lowered)
    }

    pub fn node(&self, id: NodeId) -> &Node {
        &self.data.nodes[id.index()]
    }

    pub fn storage(&self, value: ValueId) -> ValueId {
        self.storage[self.canonical(value).index()]
    }

    pub fn canonical(&self, value: ValueId) -> ValueId {
        self.canonical[value.index()]
    }

    pub fn inputs(&self, id: NodeId) -> impl Iterator<Item = ValueId> + '_ {
        self.node(id).inputs.iter().map(|&value| self.canonical(value))
    }

    /// The node that computes a value's bytes, looking through views; none for a variable.
    pub fn producer(&self, value: ValueId) -> Option<NodeId> {
        let mut value = self.canonical(value);
        loop {
            match self.data.values[value.index()].source {
                Source::Variable(_) => return None,
                Source::Node(node, _) if self.node(node).op.is_view() => {
                    value = self.canonical(self.node(node).inputs[0]);
                }
                Source::Node(node, _) => return Some(node),
            }
        }
    }

    /// The node whose direct output a value is, views included.
    pub fn direct_producer(&self, value: ValueId) -> Option<NodeId> {
        match self.data.values[self.canonical(value).index()].source {
            Source::Variable(_) => None,
            Source::Node(node, _) => Some(node),
        }
    }

    /// The variable a value's memory belongs to.
    pub fn variable(&self, value: ValueId) -> Option<usize> {
        match self.data.values[self.storage(value).index()].source {
            Source::Variable(index) => Some(index),
            Source::Node(..) => None,
        }
    }

    /// Nodes that outputs or in-place changes of variables depend on.
    fn alive(&self) -> Vec<bool> {
        let mut alive = vec![false; self.data.nodes.len()];
        let mut open: Vec<NodeId> = self.outputs.iter().filter_map(|(_, value)| self.direct_producer(*value)).collect();
        for (i, node) in self.data.nodes.iter().enumerate() {
            if let Some((_, input)) = node.op.overwrites()
                && matches!(self.changed(node.inputs[input]), Some(v) if self.data.variables[v].role != Role::Input)
            {
                open.push(NodeId(i as u32));
            }
        }
        while let Some(id) = open.pop() {
            if !std::mem::replace(&mut alive[id.index()], true) {
                open.extend(self.inputs(id).filter_map(|value| self.direct_producer(value)));
            }
        }
        alive
    }

    /// The variable that changes where a value is changed in place, also behind other changes.
    fn changed(&self, value: ValueId) -> Option<usize> {
        let mut value = value;
        loop {
            match self.data.values[value.index()].source {
                Source::Variable(variable) => return Some(variable),
                Source::Node(node, output) => {
                    let node = self.node(node);
                    let (_, input) = node.op.overwrites().filter(|(changed, _)| *changed == output)?;
                    value = node.inputs[input];
                }
            }
        }
    }

    /// Common-subexpression elimination: a node that says the same of the same inputs is the same.
    fn merge_equal(&mut self, alive: &[bool]) {
        // What is computed again on purpose is merged within its copy only.
        let mut known: HashMap<(u32, String, SmallVec<[ValueId; 4]>), NodeId> = HashMap::new();
        for i in (0..self.data.nodes.len()).filter(|&i| alive[i]) {
            let id = NodeId(i as u32);
            let node = &self.data.nodes[i];
            if node.op.overwrites().is_some() {
                continue;
            }
            let key = (node.copy, format!("{} {:?}", node.op.name(), node.op), self.inputs(id).collect());
            match known.get(&key) {
                None => {
                    known.insert(key, id);
                }
                Some(&first) => {
                    for (k, &output) in self.data.nodes[i].outputs.iter().enumerate() {
                        self.canonical[output.index()] = self.data.nodes[first.index()].outputs[k];
                    }
                }
            }
        }
    }

    fn resolve(&mut self, alive: &[bool]) {
        for i in (0..self.data.nodes.len()).filter(|&i| alive[i]) {
            let node = &self.data.nodes[i];
            if node.op.is_view() {
                self.storage[node.outputs[0].index()] = self.storage(node.inputs[0]);
                continue;
            }
            if let Some((output, input)) = node.op.overwrites() {
                self.storage[node.outputs[output].index()] = self.storage(node.inputs[input]);
            }
            self.live.push(NodeId(i as u32));
        }
    }

    /// Refuses readers of a value behind the node that overwrites it, and orders those before it.
    fn check_in_place(&mut self) -> Result<(), Error> {
        // The newest version of each storage that is overwritten, and its readers so far.
        let mut readers: HashMap<ValueId, Vec<NodeId>> = HashMap::new();
        let mut current: HashMap<ValueId, (ValueId, NodeId)> = HashMap::new();
        for &id in &self.live {
            for value in self.inputs(id) {
                let storage = self.storage(value);
                if let Some(&(version, writer)) = current.get(&storage)
                    && self.version(value) != version
                {
                    return Err(self.stale(id, writer));
                }
                readers.entry(storage).or_default().push(id);
            }
            let node = self.node(id);
            if let Some((output, input)) = node.op.overwrites() {
                let storage = self.storage(node.inputs[input]);
                let version = node.outputs[output];
                let before = readers.remove(&storage).unwrap_or_default();
                self.readers_before.insert(id, before.into_iter().filter(|&reader| reader != id).collect());
                current.insert(storage, (version, id));
            }
        }
        for (name, value) in &self.outputs {
            if let Some(&(version, writer)) = current.get(&self.storage(*value))
                && self.version(*value) != version
            {
                let writer = self.node(writer);
                let message =
                    format!("output {name:?} is overwritten in place by {} before the run ends", writer.op.name());
                return Err(writer.locate(Error::new(ErrorKind::InPlace, message)));
            }
        }
        Ok(())
    }

    /// A value without the views in front of it.
    fn version(&self, value: ValueId) -> ValueId {
        let mut value = self.canonical(value);
        while let Some(node) = self.direct_producer(value).filter(|&node| self.node(node).op.is_view()) {
            value = self.canonical(self.node(node).inputs[0]);
        }
        value
    }

    fn stale(&self, reader: NodeId, writer: NodeId) -> Error {
        let (reader, writer) = (self.node(reader), self.node(writer));
        let message = format!(
            "{}: reads a value that {} at {} has overwritten in place",
            reader.op.name(),
            writer.op.name(),
            writer.place
        );
        reader.locate(Error::new(ErrorKind::InPlace, message).hint("read it before, or read the new value"))
    }
}
