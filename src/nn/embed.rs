//! Embedding layers.

use super::Layer;
use crate::{
    error::Place,
    graph::{Init, Tensor},
    ops::Embedding,
};

/// A learned row for each token, `torch.nn.Embedding`: see [`embed`].
#[derive(Clone, Copy, Debug)]
pub struct Embed {
    vocabulary: usize,
    width: usize,
    padding_idx: Option<usize>,
    place: Place,
}

/// `u32` ids `[…]` → `[…, width]`; parameter `weight [vocabulary, width]`, N(0, 1).
#[track_caller]
pub fn embed(vocabulary: usize, width: usize) -> Embed {
    Embed { vocabulary, width, padding_idx: None, place: Place::here() }
}

impl Embed {
    /// The id that pads sequences: its row is zero at first and gets no gradient.
    pub fn padding_idx(self, id: usize) -> Embed {
        Embed { padding_idx: Some(id), ..self }
    }
}

impl Layer for Embed {
    fn apply(&self, ids: &Tensor) -> Tensor {
        let graph = ids.graph();
        graph.placed(self.place, || {
            let init = match self.padding_idx {
                Some(row) => Init::NormalBut { std: 1.0, row: row as u32 },
                None => Init::normal(1.0),
            };
            let weight = graph.parameter("weight", [self.vocabulary, self.width], init);
            weight.embedding_with(ids, Embedding { padding_idx: self.padding_idx })
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::{autodiff::gradients, nn::embed, prelude::*, testing::context};

    #[test]
    fn the_padding_is_zero_and_stays_so() {
        let graph = Graph::new(Mode::Train);
        let ids = graph.input_of("ids", [4], DType::U32);
        let y = embed(5, 3).padding_idx(2).apply(&ids);
        let dw = gradients(&(&y + 1.0).square().sum_all(), &graph.parameters()).remove(0).unwrap();
        let plan = graph.plan(&[("y", &y), ("dw", &dw)], context().target()).unwrap();
        let weights = Weights::init(context(), &plan, 7).unwrap();
        let session = Session::new(context(), plan, &weights).unwrap();
        session.write("ids", &Array::from_u32([4], &[2, 1, 2, 4]).unwrap()).unwrap();
        session.run().unwrap();
        let [w, y, dw] = [
            weights.read("weight").unwrap(),
            session.read_blocking("y").unwrap(),
            session.read_blocking("dw").unwrap(),
        ]
        .map(|array| array.to_f32());
        for v in 0..5 {
            let row = 3 * v..3 * (v + 1);
            assert_eq!(w[row.clone()].iter().all(|&x| x == 0.0), v == 2, "{v}");
            assert_eq!(dw[row].iter().any(|&x| x != 0.0), v == 1 || v == 4, "{v}");
        }
        assert_eq!(y[..3], [0.0; 3]);
        assert_eq!(y[3..6], w[3..6]);
    }
}
