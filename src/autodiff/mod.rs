//! Reverse-mode differentiation: the same graph with more nodes.
//!
//! The contract: every operation on the way from the loss to a wanted value has a gradient rule, or
//! asking is an error that names the operation, its layer and its line. Nothing is detached silently.

mod again;

use crate::{
    data::DType,
    error::{Error, ErrorKind},
    graph::{Backward, Graph, Node, Source, Tensor},
};
use again::Again;

/// The gradients of a loss with respect to values of the same graph, as tensors of that graph.
///
/// `loss` is a floating point tensor with one element. The result has one entry for each tensor of
/// `of`: its gradient, of the same shape, or `None` where the loss does not depend on it.
///
/// # Errors
/// Recorded in the graph: a loss with more than one element, or an operation without a gradient.
#[track_caller]
pub fn gradients(loss: &Tensor, of: &[Tensor]) -> Vec<Option<Tensor>> {
    let graph = loss.graph().clone();
    if loss.is_failed() || of.iter().any(Tensor::is_failed) {
        return vec![None; of.len()];
    }
    let desc = loss.desc();
    if desc.shape.numel() != 1 || !desc.dtype.is_float() {
        let message = format!("gradients: the loss must be one floating point number, not {desc}");
        graph.fail(Error::new(ErrorKind::Shape, message).hint("reduce it first, with mean_all() or sum_all()"));
        return vec![None; of.len()];
    }

    let (nodes, values) = {
        let data = graph.data();
        let sources: Vec<Source> = data.values.iter().map(|value| value.source).collect();
        (data.nodes.clone(), sources)
    };
    let wanted = depends_on(&nodes, values.len(), of);
    let mut found: Vec<Option<Tensor>> = vec![None; values.len()];
    found[loss.value.index()] = Some(graph.constant(1.0, desc.dtype).expand(&desc.shape));

    let last = match values[loss.value.index()] {
        Source::Node(node, _) => node.index() + 1,
        Source::Variable(_) => 0,
    };
    let mut again = Again::new(&graph, &nodes, &values);
    for node in nodes[..last].iter().rev() {
        let reached = node.outputs.iter().any(|output| found[output.index()].is_some());
        let needs: Vec<bool> = node.inputs.iter().map(|input| wanted[input.index()]).collect();
        if !reached || !needs.contains(&true) {
            continue;
        }
        let at = Backward {
            inputs: node.inputs.iter().map(|&value| again.tensor(value)).collect(),
            outputs: node.outputs.iter().map(|&value| again.tensor(value)).collect(),
            gradients: node.outputs.iter().map(|output| found[output.index()].clone()).collect(),
            needs,
        };
        graph.in_origin_of(node, again.copy_of(node), || spread(&graph, node, &at, &mut found));
        if graph.check().is_err() {
            return vec![None; of.len()];
        }
    }
    of.iter().map(|wanted| found[wanted.value.index()].clone()).collect()
}

/// Runs a node's rule and adds what it returns to the gradients of the node's inputs.
fn spread(graph: &Graph, node: &Node, at: &Backward, found: &mut [Option<Tensor>]) {
    let name = node.op.name();
    let Some(gradients) = node.op.backward(at).0 else {
        let message = format!("{name}: has no gradient, and the loss needs one through it");
        graph.fail(Error::new(ErrorKind::Gradient, message).hint("stop the gradient on purpose with detach()"));
        return;
    };
    if gradients.len() != node.inputs.len() {
        let (gives, takes) = (gradients.len(), node.inputs.len());
        let message = format!("{name}: its rule gives {gives} gradients for {takes} inputs");
        graph.fail(Error::new(ErrorKind::Gradient, message));
        return;
    }
    for (i, gradient) in gradients.into_iter().enumerate() {
        let (input, Some(gradient)) = (node.inputs[i], gradient) else { continue };
        if !at.needs[i] || gradient.is_failed() {
            continue;
        }
        if gradient.desc() != at.inputs[i].desc() {
            let message =
                format!("{name}: the gradient of input {i} is {}, the input {}", gradient.desc(), at.inputs[i].desc());
            graph.fail(Error::new(ErrorKind::Gradient, message));
            return;
        }
        let slot = &mut found[input.index()];
        *slot = Some(match slot.take() {
            None => gradient,
            Some(sum) => &sum + &gradient,
        });
    }
}

/// For each value, whether a floating point path leads to it from one of `of`.
fn depends_on(nodes: &[Node], values: usize, of: &[Tensor]) -> Vec<bool> {
    let mut wanted = vec![false; values];
    for tensor in of {
        wanted[tensor.value.index()] = tensor.dtype() != DType::U32;
    }
    for node in nodes {
        if node.inputs.iter().any(|input| wanted[input.index()]) {
            for output in &node.outputs {
                wanted[output.index()] = true;
            }
        }
    }
    wanted
}
