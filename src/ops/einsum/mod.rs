//! einsum: y[out] = Σ a[…]·b[…] over the letters of an equation that are not in the output, by matrix products.

use super::matmul::multiply;
use crate::{
    data::{DType, Shape},
    error::Misfit,
    graph::{Graph, Tensor},
};
use std::collections::BTreeMap;

/// A dimension's name: letters in PyTorch's order (A to Z, then a to z), behind them those of the ellipsis.
type Label = usize;

/// The first label of an ellipsis.
const ELLIPSIS: Label = 52;

/// An equation for operands of known ranks: the labels of each operand and of the output.
#[derive(Debug)]
struct Equation {
    operands: Vec<Vec<Label>>,
    output: Vec<Label>,
}

/// One side of an equation without its ellipsis: the labels in front of it and behind it, and whether there is one.
fn labels(term: &str) -> Result<(Vec<Label>, Vec<Label>, bool), String> {
    let (front, back) = term.split_once("...").map_or((term, None), |(front, back)| (front, Some(back)));
    let letters = |text: &str| {
        let label = |c: char| match c {
            'A'..='Z' => Ok(c as Label - 'A' as Label),
            'a'..='z' => Ok(c as Label - 'a' as Label + 26),
            _ => Err(format!("{c:?} is no letter")),
        };
        text.chars().map(label).collect::<Result<Vec<Label>, String>>()
    };
    Ok((letters(front)?, letters(back.unwrap_or(""))?, back.is_some()))
}

impl Equation {
    fn parse(text: &str, shapes: &[Shape]) -> Result<Equation, String> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let (inputs, output) = text.split_once("->").map_or((&*text, None), |(inputs, output)| (inputs, Some(output)));
        let terms = inputs.split(',').map(labels).collect::<Result<Vec<_>, _>>()?;
        if terms.len() != shapes.len() {
            return Err(format!("it has {} operands, {} are given", terms.len(), shapes.len()));
        }
        // The dimensions an ellipsis stands for, aligned at the last one.
        let hidden = |(front, back, dots): &(Vec<Label>, Vec<Label>, bool), shape: &Shape| {
            let named = front.len() + back.len();
            match shape.rank().checked_sub(named) {
                Some(rest) if *dots || rest == 0 => Ok(rest),
                _ => Err(format!("it names {named} dimensions of shape {shape}")),
            }
        };
        let hidden: Vec<usize> = terms.iter().zip(shapes).map(|(term, shape)| hidden(term, shape)).collect::<Result<_, _>>()?;
        let most = hidden.iter().copied().max().unwrap_or(0);
        let ellipsis = |rest: usize| ELLIPSIS + most - rest..ELLIPSIS + most;
        let join = |front: &[Label], rest: usize, back: &[Label]| -> Vec<Label> {
            front.iter().copied().chain(ellipsis(rest)).chain(back.iter().copied()).collect()
        };
        let operands: Vec<Vec<Label>> =
            terms.iter().zip(&hidden).map(|((front, back, _), &rest)| join(front, rest, back)).collect();

        let count = |label: Label| operands.iter().flatten().filter(|&&other| other == label).count();
        let output = match output {
            Some(output) => {
                let (front, back, dots) = labels(output)?;
                join(&front, if dots { most } else { 0 }, &back)
            }
            None => ellipsis(most).chain((0..ELLIPSIS).filter(|&label| count(label) == 1)).collect(),
        };
        for (i, &label) in output.iter().enumerate() {
            let name = || char::from(if label < 26 { b'A' + label as u8 } else { b'a' + (label - 26) as u8 });
            if output[..i].contains(&label) {
                return Err(format!("{:?} is twice in the output", name()));
            }
            if count(label) == 0 {
                return Err(format!("{:?} of the output is in no operand", name()));
            }
        }
        Ok(Equation { operands, output })
    }

    /// The size of each label; a size of 1 broadcasts.
    fn sizes(&self, shapes: &[Shape]) -> Result<BTreeMap<Label, usize>, String> {
        let mut sizes: BTreeMap<Label, usize> = BTreeMap::new();
        for (&label, &size) in self.operands.iter().zip(shapes).flat_map(|(labels, shape)| labels.iter().zip(&shape[..])) {
            let known = sizes.entry(label).or_insert(size);
            if *known == 1 {
                *known = size;
            } else if *known != size && size != 1 {
                return Err(format!("one letter stands for sizes {known} and {size}"));
            }
        }
        Ok(sizes)
    }
}

/// A tensor whose dimensions have labels.
#[derive(Clone, Debug)]
struct Labelled {
    tensor: Tensor,
    labels: Vec<Label>,
}

impl Labelled {
    /// A tensor without its dimensions of size 1 and with the diagonal of dimensions of one label.
    #[track_caller]
    fn new(tensor: &Tensor, labels: &[Label]) -> Labelled {
        let shape = tensor.shape();
        let kept = || labels.iter().zip(&shape[..]).filter(|(_, size)| **size != 1);
        let mut x = Labelled {
            tensor: tensor.reshape(kept().map(|(_, &size)| size).collect::<Shape>()),
            labels: kept().map(|(&label, _)| label).collect(),
        };
        while let Some(label) = x.labels.iter().copied().find(|label| x.labels.iter().filter(|l| *l == label).count() > 1) {
            x = x.diagonal(label);
        }
        x
    }

    /// The first two dimensions of a label as one, the last: elements i of [n, n] with equal indices are every
    /// (n + 1)-th, the first of each row of [n − 1, n + 1] and the last one.
    #[track_caller]
    fn diagonal(self, label: Label) -> Labelled {
        let mut twice: Vec<usize> = (0..self.labels.len()).filter(|&d| self.labels[d] == label).collect();
        twice.truncate(2);
        let rest: Vec<usize> = (0..self.labels.len()).filter(|d| !twice.contains(d)).collect();
        let order: Vec<usize> = rest.iter().chain(&twice).copied().collect();
        let (shape, labels) = (self.tensor.shape(), &self.labels);
        let n = shape[twice[0]];
        let with = |last: &[usize]| rest.iter().map(|&d| shape[d]).chain(last.iter().copied()).collect::<Shape>();
        let flat = self.tensor.permute(&order).reshape(with(&[n * n]));
        let tensor = if n == 0 {
            flat
        } else {
            let rows = flat.slice(-1, ..n * n - 1).reshape(with(&[n - 1, n + 1]));
            Tensor::concat(&[&rows.slice(-1, ..1).reshape(with(&[n - 1])), &flat.slice(-1, n * n - 1..)], -1)
        };
        Labelled { tensor, labels: rest.iter().map(|&d| labels[d]).chain([label]).collect() }
    }

    /// Summed over the labels that are not among those to keep.
    #[track_caller]
    fn sum_but(self, keep: impl Fn(Label) -> bool) -> Labelled {
        let gone: Vec<isize> = (0..self.labels.len()).filter(|&d| !keep(self.labels[d])).map(|d| d as isize).collect();
        if gone.is_empty() {
            return self;
        }
        let labels = self.labels.iter().copied().filter(|&label| keep(label)).collect();
        Labelled { tensor: self.tensor.sum(&gone, false), labels }
    }

    /// With its dimensions in another order.
    #[track_caller]
    fn ordered(self, labels: &[Label]) -> Labelled {
        if self.labels == labels {
            return self;
        }
        let order = labels.iter().filter_map(|label| self.labels.iter().position(|own| own == label));
        Labelled { tensor: self.tensor.permute(&order.collect::<Vec<_>>()), labels: labels.to_vec() }
    }

    fn has(&self, label: Label) -> bool {
        self.labels.contains(&label)
    }
}

fn joined(parts: &[&[Label]]) -> Vec<Label> {
    parts.concat()
}

/// How a product of two labelled tensors becomes one of matrices, and the elements that are moved for it.
struct Layout {
    batch: Vec<Label>,
    m: Vec<Label>,
    n: Vec<Label>,
    k: Vec<Label>,
    transposed_a: bool,
    transposed_b: bool,
    flipped: bool,
    moved: usize,
}

impl Layout {
    /// The layout that moves least.
    fn choose(a: &Labelled, b: &Labelled, output: &[Label]) -> Layout {
        let of = |order: &[Label], keep: &dyn Fn(Label) -> bool| -> Vec<Label> {
            order.iter().copied().filter(|&label| keep(label)).collect()
        };
        let in_output = |label: Label| output.contains(&label);
        let batch = |label: Label| a.has(label) && b.has(label) && in_output(label);
        let k = |label: Label| a.has(label) && b.has(label) && !in_output(label);
        let m = |label: Label| a.has(label) && !b.has(label);
        let n = |label: Label| b.has(label) && !a.has(label);
        let mut best: Option<Layout> = None;
        for batch in [output, &a.labels, &b.labels].map(|order| of(order, &batch)) {
            for k in [&a.labels, &b.labels].map(|order| of(order, &k)) {
                for m in [output, &a.labels].map(|order| of(order, &m)) {
                    for n in [output, &b.labels].map(|order| of(order, &n)) {
                        let layout = Layout::new(a, b, output, [&batch, &m, &n, &k]);
                        if best.as_ref().is_none_or(|best| layout.moved < best.moved) {
                            best = Some(layout);
                        }
                    }
                }
            }
        }
        // There is always a first one.
        best.unwrap_or_else(|| Layout::new(a, b, output, [&[], &[], &[], &[]]))
    }

    fn new(a: &Labelled, b: &Labelled, output: &[Label], [batch, m, n, k]: [&[Label]; 4]) -> Layout {
        let size = |x: &Labelled| x.tensor.shape().numel();
        let transposed_a = a.labels == joined(&[batch, k, m]);
        let transposed_b = b.labels == joined(&[batch, n, k]);
        let flipped = output == joined(&[batch, n, m]);
        let mut moved = 0;
        if !transposed_a && a.labels != joined(&[batch, m, k]) {
            moved += size(a);
        }
        if !transposed_b && b.labels != joined(&[batch, k, n]) {
            moved += size(b);
        }
        if !flipped && output != joined(&[batch, m, n]) {
            // What is not moved before may be the larger part.
            moved += size(a).max(size(b));
        }
        let [batch, m, n, k] = [batch, m, n, k].map(<[Label]>::to_vec);
        Layout { batch, m, n, k, transposed_a, transposed_b, flipped, moved }
    }
}

/// Σ a·b over the labels of both that are not in the output, with its dimensions in the output's order.
#[track_caller]
fn product(a: Labelled, b: Labelled, output: &[Label], sizes: &BTreeMap<Label, usize>) -> Labelled {
    let size = |labels: &[Label]| -> usize { labels.iter().filter_map(|label| sizes.get(label)).product() };
    let layout = Layout::choose(&a, &b, output);
    let Layout { batch, m, n, k, .. } = &layout;
    // What sums nothing is pointwise work, where what broadcasts surely fits one binding.
    let fits = |x: &Labelled| x.tensor.shape().numel() == size(output) || x.tensor.shape().numel() <= 1 << 20;
    if k.is_empty() && fits(&a) && fits(&b) {
        let spread = |x: Labelled| {
            let own: Vec<Label> = output.iter().copied().filter(|&label| x.has(label)).collect();
            let shape: Shape = output.iter().map(|&label| if x.has(label) { size(&[label]) } else { 1 }).collect();
            x.ordered(&own).tensor.reshape(shape)
        };
        return Labelled { tensor: spread(a) * spread(b), labels: output.to_vec() };
    }
    // Products of many pairs of vectors: no matrix is left, only their sums.
    if m.is_empty() && n.is_empty() && size(batch) > 1 {
        let (dtype, order) = (a.tensor.dtype(), joined(&[batch, k]));
        let [a, b] = [a, b].map(|x| x.ordered(&order).tensor.cast(DType::F32));
        let product = Labelled { tensor: a * b, labels: order }.sum_but(|label| batch.contains(&label));
        let product = Labelled { tensor: product.tensor.cast(dtype), labels: product.labels };
        return product.ordered(output);
    }
    let matrix = |x: Labelled, rows: &[Label], columns: &[Label]| {
        let x = x.ordered(&joined(&[batch, rows, columns])).tensor;
        let sizes = [size(batch), size(rows), size(columns)];
        x.reshape(if batch.is_empty() { Shape::from(&sizes[1..]) } else { Shape::from(sizes) })
    };
    let x = if layout.transposed_a { matrix(a, k, m) } else { matrix(a, m, k) };
    let y = if layout.transposed_b { matrix(b, n, k) } else { matrix(b, k, n) };
    let (product, labels) = if layout.flipped {
        (multiply(&y, !layout.transposed_b, &x, !layout.transposed_a), joined(&[batch, n, m]))
    } else {
        (multiply(&x, layout.transposed_a, &y, layout.transposed_b), joined(&[batch, m, n]))
    };
    let shape: Shape = labels.iter().map(|&label| size(&[label])).collect();
    Labelled { tensor: product.reshape(shape), labels }.ordered(output)
}

impl Graph {
    /// Einstein's summation over one or two tensors: `torch.einsum`.
    ///
    /// Each operand's dimensions have letters; the result is the product of the operands, summed over all letters
    /// that are not in the output. Without `->` the output has those letters in alphabetical order that occur once. A
    /// letter that one operand has twice is its diagonal. `...` stands for any dimensions, which broadcast, as
    /// sizes of 1 do.
    ///
    /// Sums over two operands are one matrix product; dimensions are only moved where no order of it
    /// fits, and what sums nothing is pointwise.
    ///
    /// ```
    /// # use wgrad::prelude::*;
    /// let graph = Graph::new(Mode::Infer);
    /// let (q, k) = (graph.input("q", [2, 8, 10, 64]), graph.input("k", [2, 8, 12, 64]));
    /// assert_eq!(graph.einsum("bhqd,bhkd->bhqk", &[&q, &k]).shape(), [2, 8, 10, 12].into());
    /// ```
    ///
    /// # Gradient
    /// That of the operations it becomes; a second one exists.
    ///
    /// # Errors
    /// Recorded in the graph: an equation that is none or does not fit the shapes; more than two operands; indices
    /// instead of numbers.
    #[track_caller]
    pub fn einsum(&self, equation: &str, operands: &[&Tensor]) -> Tensor {
        if operands.iter().any(|operand| operand.is_failed()) {
            return self.failed();
        }
        let refuse = |reason: String| {
            self.fail(Misfit::shape(format!("{equation:?}: {reason}")).of("einsum"));
            self.failed()
        };
        if !(1..=2).contains(&operands.len()) {
            return refuse(format!("takes one or two operands, not {}", operands.len()));
        }
        let first = operands[0].dtype();
        if let Some(other) = operands.iter().find(|operand| operand.dtype() != first || !first.is_float()) {
            self.fail(Misfit::dtype(format!("needs numbers of one type, not {} and {}", operands[0].desc(), other.desc())).of("einsum"));
            return self.failed();
        }
        let shapes: Vec<Shape> = operands.iter().map(|operand| operand.shape()).collect();
        let parsed = Equation::parse(equation, &shapes).and_then(|parsed| Ok((parsed.sizes(&shapes)?, parsed)));
        let (sizes, equation) = match parsed {
            Ok(parsed) => parsed,
            Err(reason) => return refuse(reason),
        };
        for (labels, shape) in equation.operands.iter().zip(&shapes) {
            for (i, label) in labels.iter().enumerate() {
                let sizes = [i, labels.iter().position(|other| other == label).unwrap_or(i)].map(|d| shape[d]);
                if sizes[0] != sizes[1] {
                    return refuse(format!("one letter stands for sizes {} and {} of shape {shape}", sizes[1], sizes[0]));
                }
            }
        }
        // Dimensions of size 1 are left out until the end.
        let output: Vec<Label> = equation.output.iter().copied().filter(|label| sizes[label] != 1).collect();
        let mut found: Vec<Labelled> =
            operands.iter().zip(&equation.operands).map(|(operand, labels)| Labelled::new(operand, labels)).collect();
        let last = found.pop();
        let result = match (found.pop(), last) {
            (Some(a), Some(b)) => {
                let [in_a, in_b] = [&a, &b].map(|x| x.labels.clone());
                let a = a.sum_but(|label| output.contains(&label) || in_b.contains(&label));
                let b = b.sum_but(|label| output.contains(&label) || in_a.contains(&label));
                product(a, b, &output, &sizes)
            }
            (None, Some(a)) => a.sum_but(|label| output.contains(&label)).ordered(&output),
            _ => return refuse("takes one or two operands".to_owned()),
        };
        result.tensor.reshape(equation.output.iter().map(|label| sizes[label]).collect::<Shape>())
    }
}

#[cfg(test)]
mod tests;
