//! Translation by two LSTMs with attention (Bahdanau et al. 2015, in the form of Luong et al. 2015).

use super::{Memory, Translator};
use crate::{
    error::Place,
    graph::Tensor,
    nn::{Layer, Rnn, embed, generate_token, linear, lstm},
};

/// See [`lstm_seq2seq`].
#[derive(Clone, Debug)]
pub struct LstmSeq2Seq {
    vocabularies: [usize; 2],
    width: usize,
    lstm: Rnn,
    place: Place,
}

/// GenerateToken(tanh(W·[h, Attention(x, h)])) with x = LSTM(EmbedToken(source)), h = LSTM(EmbedToken(target))
///
/// The decoder begins with the encoder's last states. A [`Translator`] with layers `source_embed`, `encoder`,
/// `target_embed`, `decoder`, `attend` and `generator`.
#[track_caller]
pub fn lstm_seq2seq(vocabularies: [usize; 2], width: usize, layers: usize) -> LstmSeq2Seq {
    LstmSeq2Seq { vocabularies, width, lstm: lstm(width).layers(layers), place: Place::here() }
}

impl LstmSeq2Seq {
    /// Dropout with this probability between the layers, in training.
    pub fn dropout(self, probability: f32) -> LstmSeq2Seq {
        LstmSeq2Seq { lstm: self.lstm.dropout(probability), ..self }
    }
}

impl Translator for LstmSeq2Seq {
    fn encode(&self, source: &Tensor, lengths: Option<&Tensor>) -> Memory {
        let graph = source.graph();
        graph.placed(self.place, || {
            let x = embed(self.vocabularies[0], self.width).apply_at("source_embed", source);
            let x = graph.scoped("encoder", || self.lstm.with_states(&x, &[], lengths));
            Memory { initial: [Some(x.h), x.c].into_iter().flatten().collect(), ..Memory::new(x.output, lengths) }
        })
    }

    fn decode(&self, target: &Tensor, memory: &Memory) -> Tensor {
        let graph = target.graph();
        graph.placed(self.place, || {
            let y = embed(self.vocabularies[1], self.width).apply_at("target_embed", target);
            let h = graph.scoped("decoder", || self.lstm.with_states(&y, &memory.initial, None)).output;
            let seen = memory.attend(&h);
            let both = linear(self.width).apply_at("attend", &Tensor::concat(&[&h, &seen], -1)).tanh();
            generate_token(self.vocabularies[1]).bias("bias").apply_at("generator", &both)
        })
    }
}
