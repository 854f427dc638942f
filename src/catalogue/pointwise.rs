//! Operations on single elements: fused into chains and behind the kernels that make their inputs.

use super::Entry;
use crate::data::DType;

pub(super) const ENTRIES: &[Entry] = &[
    Entry::new("abs", "torch.abs", "|x|", |e| e.vector().abs()),
    Entry::new("exp", "torch.exp", "eˣ", |e| e.vector().exp()),
    Entry::new("log", "torch.log", "ln x", |e| e.positive([e.elements()]).log()),
    Entry::new("sqrt", "torch.sqrt", "√x", |e| e.positive([e.elements()]).sqrt()),
    Entry::new("rsqrt", "torch.rsqrt", "1/√x", |e| e.positive([e.elements()]).rsqrt()),
    Entry::new("recip", "torch.reciprocal", "1/x", |e| e.positive([e.elements()]).recip()),
    Entry::new("sign", "torch.sign", "−1, 0 or 1", |e| e.vector().sign()),
    Entry::new("square", "torch.square", "x²", |e| e.vector().square()),
    Entry::new("neg", "torch.neg", "−x", |e| e.vector().neg()),
    Entry::new("relu", "torch.relu", "max(x, 0)", |e| e.vector().relu()),
    Entry::new("gelu", "torch.nn.functional.gelu", "x·Φ(x)", |e| e.vector().gelu()),
    Entry::new(
        "gelu_tanh",
        "torch.nn.functional.gelu(approximate=\"tanh\")",
        "x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³)))",
        |e| e.vector().gelu_tanh(),
    ),
    Entry::new("sigmoid", "torch.sigmoid", "1/(1 + e⁻ˣ)", |e| e.vector().sigmoid()),
    Entry::new("tanh", "torch.tanh", "tanh x", |e| e.vector().tanh()),
    Entry::new("silu", "torch.nn.functional.silu", "x/(1 + e⁻ˣ)", |e| e.vector().silu()),
    Entry::new("softplus", "torch.nn.functional.softplus", "ln(1 + eˣ)", |e| e.vector().softplus()),
    Entry::new("erf", "torch.erf", "2/√π·∫₀ˣ e^(−t²) dt", |e| e.vector().erf()),
    Entry::new("sin", "torch.sin", "sin x", |e| e.vector().sin()),
    Entry::new("cos", "torch.cos", "cos x", |e| e.vector().cos()),
    Entry::new("floor", "torch.floor", "the largest whole number ≤ x", |e| e.vector().floor()),
    Entry::new("ceil", "torch.ceil", "the smallest whole number ≥ x", |e| e.vector().ceil()),
    Entry::new("round", "torch.round", "the nearest whole number, ties to even", |e| e.vector().round()),
    Entry::new("log1p", "torch.log1p", "ln(1 + x)", |e| e.vector().log1p()),
    Entry::new("expm1", "torch.expm1", "eˣ − 1", |e| e.vector().expm1()),
    Entry::new("selu", "torch.nn.functional.selu", "1.0507·elu(x) with α = 1.6733", |e| e.vector().selu()),
    Entry::new("relu6", "torch.nn.functional.relu6", "min(max(x, 0), 6)", |e| e.vector().relu6()),
    Entry::new("hardsigmoid", "torch.nn.functional.hardsigmoid", "relu6(x + 3)/6", |e| e.vector().hardsigmoid()),
    Entry::new("hardswish", "torch.nn.functional.hardswish", "x·relu6(x + 3)/6", |e| e.vector().hardswish()),
    Entry::new("mish", "torch.nn.functional.mish", "x·tanh(softplus(x))", |e| e.vector().mish()),
    Entry::new("logsigmoid", "torch.nn.functional.logsigmoid", "ln σ(x)", |e| e.vector().logsigmoid()),
    Entry::new("softsign", "torch.nn.functional.softsign", "x/(1 + |x|)", |e| e.vector().softsign()),
    Entry::new("leaky_relu", "torch.nn.functional.leaky_relu", "x where x > 0, else s·x", |e| {
        e.vector().leaky_relu(0.01)
    }),
    Entry::new("elu", "torch.nn.functional.elu", "x where x > 0, else α·(eˣ − 1)", |e| e.vector().elu(1.0)),
    Entry::new("detach", "torch.Tensor.detach", "x, without a gradient", |e| e.vector().detach()),
    Entry::new("add", "torch.add", "a + b", |e| e.vector().add(&e.vector())),
    Entry::new("sub", "torch.sub", "a − b", |e| e.vector().sub(&e.vector())),
    Entry::new("mul", "torch.mul", "a·b", |e| e.vector().mul(&e.vector())),
    Entry::new("div", "torch.div", "a/b", |e| e.vector().div(&e.positive([e.elements()]))),
    Entry::new("pow", "torch.pow", "aᵇ", |e| e.positive([e.elements()]).pow(&e.vector())),
    Entry::new("maximum", "torch.maximum", "max(a, b); equal operands share the gradient", |e| {
        e.vector().maximum(&e.vector())
    }),
    Entry::new("minimum", "torch.minimum", "min(a, b); equal operands share the gradient", |e| {
        e.vector().minimum(&e.vector())
    }),
    Entry::new("add_scalar", "torch.add", "a + s", |e| e.vector().add_scalar(0.5)),
    Entry::new("mul_scalar", "torch.mul", "a·s", |e| e.vector().mul_scalar(0.5)),
    Entry::new("powf", "torch.pow", "xᵖ", |e| e.positive([e.elements()]).powf(1.7)),
    Entry::new("clamp", "torch.clamp", "min(max(x, low), high)", |e| e.vector().clamp(-0.5, 0.5)),
    Entry::new("eq", "torch.eq", "a = b, as 0 or 1", |e| e.vector().eq(&e.vector())),
    Entry::new("ne", "torch.ne", "a ≠ b, as 0 or 1", |e| e.vector().ne(&e.vector())),
    Entry::new("lt", "torch.lt", "a < b, as 0 or 1", |e| e.vector().lt(&e.vector())),
    Entry::new("le", "torch.le", "a ≤ b, as 0 or 1", |e| e.vector().le(&e.vector())),
    Entry::new("gt", "torch.gt", "a > b, as 0 or 1", |e| e.vector().gt(&e.vector())),
    Entry::new("ge", "torch.ge", "a ≥ b, as 0 or 1", |e| e.vector().ge(&e.vector())),
    Entry::new("logical_not", "torch.logical_not", "1 where the mask is 0", |e| e.mask([e.elements()]).logical_not()),
    Entry::new("logical_and", "torch.logical_and", "1 where both masks are not 0", |e| {
        e.mask([e.elements()]).logical_and(&e.mask([e.elements()]))
    }),
    Entry::new("logical_or", "torch.logical_or", "1 where a mask is not 0", |e| {
        e.mask([e.elements()]).logical_or(&e.mask([e.elements()]))
    }),
    Entry::new("where_", "torch.where", "a where the mask is not 0, else b", |e| {
        e.mask([e.elements()]).where_(&e.vector(), &e.vector())
    }),
    Entry::new("cast", "torch.Tensor.to", "x as another element type", |e| {
        e.vector().cast(if e.dtype() == DType::F32 { DType::F16 } else { DType::F32 })
    }),
    Entry::new("expand", "torch.Tensor.expand", "x, repeated along new and size-1 dimensions", |e| {
        e.x([e.elements() / 7, 1]).expand([e.elements() / 7, 7])
    }),
    Entry::new("full", "torch.full", "s everywhere", |e| e.graph().full([e.elements()], 0.5, e.dtype())),
    Entry::new("dropout", "torch.nn.functional.dropout", "x·b/(1 − p) with b ~ Bernoulli(1 − p)", |e| {
        e.vector().dropout(0.25)
    }),
];
