use super::Attention;
use crate::{
    prelude::*,
    testing::{Check, Numbers},
};

/// softmax(scale·q·kᵀ + add)·v of [B, H, T, D], where a weight is 0 if `sees(b, h, i, j)` is not, and then times `kept`.
fn attend(
    [q, k, v]: [&Numbers; 3],
    scale: f64,
    add: impl Fn([usize; 4]) -> f64,
    sees: impl Fn([usize; 4]) -> bool,
    kept: impl Fn([usize; 4]) -> f64,
) -> Numbers {
    let (keys, sharing) = (k.shape()[2], q.shape()[1] / k.shape()[1]);
    Numbers::from_fn(q.shape().with(3, v.shape()[3]), |at| {
        let [b, h, i, c] = [at[0], at[1], at[2], at[3]];
        let logits: Vec<f64> = (0..keys)
            .map(|j| {
                let dot: f64 = (0..q.shape()[3]).map(|d| q.at(&[b, h, i, d]) * k.at(&[b, h / sharing, j, d])).sum();
                if sees([b, h, i, j]) { scale * dot + add([b, h, i, j]) } else { f64::NEG_INFINITY }
            })
            .collect();
        let m = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if m == f64::NEG_INFINITY {
            return 0.0;
        }
        let total: f64 = logits.iter().map(|x| (x - m).exp()).sum();
        let weigh = |j: usize| (logits[j] - m).exp() / total * kept([b, h, i, j]) * v.at(&[b, h / sharing, j, c]);
        (0..keys).filter(|&j| logits[j] > f64::NEG_INFINITY).map(weigh).sum()
    })
}

fn plain(x: &[Numbers; 3]) -> Numbers {
    let scale = 1.0 / (x[0].shape()[3] as f64).sqrt();
    attend([&x[0], &x[1], &x[2]], scale, |_| 0.0, |_| true, |_| 1.0)
}

#[test]
fn it_matches_its_definition() {
    Check::new(|[q, k, v]: [Tensor; 3]| q.attention(&k, &v, Attention::default()), |x| plain(&x))
        .shapes([[1, 1, 1, 1]; 3])
        .shapes([[2, 3, 5, 8]; 3])
        .shapes([[1, 2, 70, 64]; 3])
        .shapes([[2, 2, 33, 12], [2, 1, 129, 12], [2, 1, 129, 20]])
        .run();
}
