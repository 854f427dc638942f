//! Translation by the transformer of Vaswani et al. 2017, in the layout of `torch.nn.Transformer`.

use super::{Memory, Translator};
use crate::{
    error::Place,
    graph::{Init, Tensor, Variable},
    nn::{
        Layer, TransformerBlock, decoder_layer, embed, encoder_layer, generate_token, layer_norm, sinusoidal_positions,
        stack,
    },
};

/// See [`seq2seq`].
#[derive(Clone, Debug)]
pub struct Seq2Seq {
    vocabularies: [usize; 2],
    width: usize,
    heads: usize,
    layers: usize,
    hidden: usize,
    dropout: f32,
    norm_first: bool,
    place: Place,
}

/// Decoder^L(EmbedToken(y), Encoder^L(EmbedToken(x))), where EmbedToken scales by √width and adds sinusoidal positions.
///
/// Source and target have the vocabularies of these sizes. `torch.nn.Transformer` with `batch_first=True`, of 8 heads,
/// 6 + 6 layers, 2048 hidden units and dropout 0.1 if not said; its names, and `source_embed`, `target_embed` and
/// `generator` in front and behind. Matrices of the layers begin as U(±√(6/(in + out))).
#[track_caller]
pub fn seq2seq(vocabularies: [usize; 2], width: usize) -> Seq2Seq {
    let (heads, layers, hidden, place) = (8, 6, 2048, Place::here());
    Seq2Seq { vocabularies, width, heads, layers, hidden, dropout: 0.1, norm_first: false, place }
}

impl Seq2Seq {
    /// The number of heads.
    pub fn heads(self, heads: usize) -> Seq2Seq {
        Seq2Seq { heads, ..self }
    }

    /// The number of layers of the encoder, and of the decoder.
    pub fn layers(self, layers: usize) -> Seq2Seq {
        Seq2Seq { layers, ..self }
    }

    /// The number of hidden units of each layer.
    pub fn hidden(self, hidden: usize) -> Seq2Seq {
        Seq2Seq { hidden, ..self }
    }

    /// The probability that something is dropped in training.
    pub fn dropout(self, probability: f32) -> Seq2Seq {
        Seq2Seq { dropout: probability, ..self }
    }

    /// Norms in front of the parts of a layer and not behind the sums.
    pub fn norm_first(self) -> Seq2Seq {
        Seq2Seq { norm_first: true, ..self }
    }

    fn embed_token(&self, name: &str, vocabulary: usize, ids: &Tensor, positions: Option<&Tensor>) -> Tensor {
        let x = embed(vocabulary, self.width).apply_at(name, ids) * (self.width as f32).sqrt();
        sinusoidal_positions().at(positions).apply(&x).dropout(self.dropout)
    }

    /// The layers and the norm behind them, under a name.
    fn layers_of(&self, name: &str, block: TransformerBlock, x: &Tensor) -> Tensor {
        let xavier = |variable: &Variable| match variable.desc.shape[..] {
            [rows, columns] => Some(Init::xavier(columns, rows)),
            _ => None,
        };
        let block = block.dropout(self.dropout, self.dropout, self.dropout).norm_first(self.norm_first);
        let all = |x: &Tensor| layer_norm().apply_at("norm", &stack("layers", self.layers, block).apply(x));
        x.graph().initialise(xavier, || x.graph().scoped(name, || all(x)))
    }
}

impl Translator for Seq2Seq {
    fn encode(&self, source: &Tensor, lengths: Option<&Tensor>) -> Memory {
        source.graph().placed(self.place, || {
            let block = encoder_layer(self.heads, self.hidden).lengths(lengths);
            let x = self.embed_token("source_embed", self.vocabularies[0], source, None);
            Memory::new(self.layers_of("encoder", block, &x), lengths)
        })
    }

    fn decode(&self, target: &Tensor, memory: &Memory) -> Tensor {
        target.graph().placed(self.place, || {
            let block = decoder_layer(self.heads, self.hidden, &memory.states);
            let block = block.memory_lengths(memory.lengths.as_ref()).cached(memory.cache.as_ref());
            let positions = memory.positions(target.size(-1));
            let y = self.embed_token("target_embed", self.vocabularies[1], target, positions.as_ref());
            let y = self.layers_of("decoder", block, &y);
            memory.advance(target.size(-1));
            generate_token(self.vocabularies[1]).bias("bias").apply_at("generator", &y)
        })
    }
}
