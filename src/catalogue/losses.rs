//! Losses.

use super::{Entry, Example};
use crate::{
    graph::Tensor,
    ops::{BinaryCrossEntropy, CrossEntropy, MultiMargin, NllLoss, Reduction},
};

pub(super) const ENTRIES: &[Entry] = &[
    Entry::several("cross_entropy", "torch.nn.functional.cross_entropy", "−mean log softmax(x) at the target", |e| {
        let (rows, classes) = (e.pick(5, 128, 512, 2048), e.pick(13, 1000, 1000, 10_000));
        let (x, target) = (e.x([rows, classes]), e.ids([rows], classes));
        let mut all = vec![x.cross_entropy(&target)];
        if e.is_tiny() {
            let weight = e.positive([classes]);
            let smooth = CrossEntropy::new().label_smoothing(0.1).reduction(Reduction::None);
            all.push(smooth.clone().apply(&x, &target));
            all.push(smooth.weight(&weight).apply(&x, &target));
            all.push(x.cross_entropy(&e.positive([rows, classes])));
        }
        all
    }),
    Entry::several("nll_loss", "torch.nn.functional.nll_loss", "−mean x at the target", |e| {
        let (rows, classes) = (e.pick(5, 128, 512, 2048), e.pick(13, 1000, 1000, 10_000));
        let (x, target) = (e.x([rows, classes]), e.ids([rows], classes));
        let mut all = vec![x.nll_loss(&target, Reduction::Mean)];
        if e.is_tiny() {
            all.push(NllLoss::new().weight(&e.positive([classes])).apply(&x, &target));
        }
        all
    }),
    Entry::several(
        "multi_margin_loss",
        "torch.nn.functional.multi_margin_loss",
        "mean Σ max(0, 1 − y + x)/C over the other classes, y at the target",
        |e| {
            let (rows, classes) = (e.pick(5, 128, 512, 2048), e.pick(13, 1000, 1000, 4000));
            let (x, target) = (e.x([rows, classes]), e.ids([rows], classes));
            e.forms(vec![
                x.multi_margin_loss(&target, Reduction::Mean),
                MultiMargin::new().squared().apply(&x, &target),
            ])
        },
    ),
    Entry::several(
        "binary_cross_entropy_with_logits",
        "torch.nn.functional.binary_cross_entropy_with_logits",
        "mean (1 − t)·softplus(x) + t·softplus(−x)",
        |e| {
            let (x, t) = (e.vector(), e.within([e.elements()], 0.0..1.0));
            let mut all = vec![x.binary_cross_entropy_with_logits(&t, Reduction::Mean)];
            if e.is_tiny() {
                let weight = e.positive([e.elements()]);
                all.push(BinaryCrossEntropy::new().weight(&weight).pos_weight(&weight).apply(&x, &t));
            }
            all
        },
    ),
    Entry::new("mse_loss", "torch.nn.functional.mse_loss", "mean (x − t)²", |e| pair(e, Tensor::mse_loss)),
    Entry::new("l1_loss", "torch.nn.functional.l1_loss", "mean |x − t|", |e| pair(e, Tensor::l1_loss)),
    Entry::new(
        "huber_loss",
        "torch.nn.functional.huber_loss",
        "mean of (x − t)²/2 up to |x − t| = δ, of δ·(|x − t| − δ/2) beyond",
        |e| pair(e, |x, t, reduction| x.huber_loss(t, 0.5, reduction)),
    ),
    Entry::new(
        "smooth_l1_loss",
        "torch.nn.functional.smooth_l1_loss",
        "the Huber loss with δ = β, divided by β",
        |e| pair(e, |x, t, reduction| x.smooth_l1_loss(t, 0.5, reduction)),
    ),
    Entry::several("kl_div", "torch.nn.functional.kl_div", "mean t·(log t − x)", |e| {
        let (x, t) = (e.vector(), e.positive([e.elements()]));
        e.forms(vec![x.kl_div(&t, false, Reduction::Mean), x.kl_div(&t, true, Reduction::BatchMean)])
    }),
    Entry::new("hinge_loss", "", "mean max(0, 1 − t·x)", |e| pair(e, Tensor::hinge_loss)),
    Entry::several("poisson_nll_loss", "torch.nn.functional.poisson_nll_loss", "mean eˣ − t·x", |e| {
        let (x, t) = (e.positive([e.elements()]), e.vector());
        let loss = |log_input| x.poisson_nll_loss(&t, log_input, 1e-8, Reduction::Mean);
        e.forms(vec![loss(true), loss(false)])
    }),
    Entry::new("gaussian_nll_loss", "torch.nn.functional.gaussian_nll_loss", "mean ½·(log v + (x − t)²/v)", |e| {
        e.vector().gaussian_nll_loss(&e.vector(), &e.positive([e.elements()]), 1e-6, Reduction::Mean)
    }),
    Entry::new(
        "cosine_similarity",
        "torch.nn.functional.cosine_similarity",
        "Σ a·b/(‖a‖·‖b‖) along a dimension",
        |e| {
            let rows = e.pick(5, 128, 1024, 8192);
            let [a, b] = [0; 2].map(|_| e.x([rows, e.elements() / rows]));
            a.cosine_similarity(&b, 1, 1e-8)
        },
    ),
];

/// The mean of a loss of two vectors.
fn pair(e: &Example, loss: fn(&Tensor, &Tensor, Reduction) -> Tensor) -> Tensor {
    loss(&e.vector(), &e.vector(), Reduction::Mean)
}
