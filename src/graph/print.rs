//! A graph as text and as a DOT picture.

use super::{Graph, GraphData, Role, Source, ValueId};
use std::fmt::{self, Write};

impl Graph {
    /// The graph in DOT, for `dot -Tsvg`.
    pub fn to_dot(&self) -> String {
        let data = self.data();
        let mut text = String::from("digraph {\n  node [shape=box, fontname=monospace]\n");
        for variable in &data.variables {
            let style = match variable.role {
                Role::Input => "shape=ellipse",
                Role::Parameter => "shape=ellipse, style=bold",
                Role::State => "shape=ellipse, style=dashed",
            };
            let _ =
                writeln!(text, "  v{} [label=\"{}\\n{}\", {style}]", variable.value.0, variable.name, variable.desc);
        }
        for (i, node) in data.nodes.iter().enumerate() {
            let shapes: Vec<String> = node.outputs.iter().map(|&value| data.desc(value).to_string()).collect();
            let _ = writeln!(text, "  n{i} [label=\"{}\\n{}\\n{}\"]", node.op.name(), shapes.join(" "), node.layer);
            for &input in &node.inputs {
                let from = match data.values[input.index()].source {
                    Source::Variable(_) => format!("v{}", input.0),
                    Source::Node(node, _) => format!("n{}", node.0),
                };
                let _ = writeln!(text, "  {from} -> n{i}");
            }
        }
        text.push_str("}\n");
        text
    }
}

fn name(data: &GraphData, value: ValueId) -> String {
    match data.values[value.index()].source {
        Source::Variable(variable) => data.variables[variable].name.to_string(),
        Source::Node(..) => format!("%{}", value.0),
    }
}

/// One line for each node: `%7 f32[8, 10] = matmul(%6, fc.weight)  in fc at src/main.rs:9:4`.
impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data = self.data();
        for variable in &data.variables {
            writeln!(f, "{:?} {} {}", variable.role, variable.name, variable.desc)?;
        }
        for node in &data.nodes {
            let outputs: Vec<String> =
                node.outputs.iter().map(|&value| format!("{} {}", name(&data, value), data.desc(value))).collect();
            let inputs: Vec<String> = node.inputs.iter().map(|&value| name(&data, value)).collect();
            write!(f, "{} = {}({})", outputs.join(", "), node.op.name(), inputs.join(", "))?;
            let within = if node.layer.is_empty() { String::new() } else { format!("  in {}", node.layer) };
            writeln!(f, "{within}  at {}", node.place)?;
        }
        Ok(())
    }
}
