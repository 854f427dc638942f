//! A graph by layer: what each returns and holds.

use super::{Graph, Role};
use crate::data::TensorDesc;
use std::{collections::HashMap, sync::Arc};

/// One layer of a graph: see [`Graph::layers`].
#[derive(Clone, Debug, PartialEq)]
pub struct LayerSummary {
    /// Its path, `features.0`; empty for what is outside all layers.
    pub layer: Arc<str>,
    /// What its last operation returns.
    pub output: TensorDesc,
    /// How many numbers its own parameters have, those of layers inside it not counted.
    pub parameters: usize,
}

impl Graph {
    /// Its layers in the order of their first operation.
    pub fn layers(&self) -> Vec<LayerSummary> {
        let data = self.data();
        let mut at: HashMap<Arc<str>, usize> = HashMap::new();
        let mut layers: Vec<LayerSummary> = Vec::new();
        for node in &data.nodes {
            let Some(&output) = node.outputs.first() else { continue };
            let output = data.desc(output).clone();
            if let Some(&i) = at.get(&node.layer) {
                layers[i].output = output;
            } else {
                at.insert(node.layer.clone(), layers.len());
                layers.push(LayerSummary { layer: node.layer.clone(), output, parameters: 0 });
            }
        }
        for variable in data.variables.iter().filter(|variable| variable.role == Role::Parameter) {
            let layer = variable.name.rsplit_once('.').map_or("", |(layer, _)| layer);
            if let Some(&i) = at.get(layer) {
                layers[i].parameters += variable.desc.shape.numel();
            }
        }
        layers
    }
}

#[cfg(test)]
mod tests {
    use crate::{chain, nn::*, prelude::*};

    #[test]
    fn layers_have_outputs_and_parameters() {
        let graph = Graph::new(Mode::Infer);
        let net = chain![linear(4), relu(), chain![linear(3), linear(2).bias(false)].named("head")];
        net.apply(&graph.input("x", [5, 2]));
        let layers: Vec<String> =
            graph.layers().iter().map(|l| format!("{} {} {}", l.layer, l.output, l.parameters)).collect();
        assert_eq!(layers, ["0 f32[5, 4] 12", "1 f32[5, 4] 0", "head.0 f32[5, 3] 15", "head.1 f32[5, 2] 6"]);
    }
}
