//! What BERT is used for: heads with the names of Hugging Face's `BertModel`, `BertForMaskedLM` and
//! `BertForSequenceClassification`.

use super::Bert;
use crate::{
    graph::Tensor,
    nn::{Layer, collapse, generate_token, layer_norm, linear},
};

impl Bert {
    /// tanh(W·first + b) `[B, hidden_size]`: `pooler_output`.
    pub fn pooled(&self, ids: &Tensor) -> Tensor {
        self.head(ids, || {
            linear(self.config.hidden_size).apply_at("pooler.dense", &collapse::first().apply(&self.apply(ids))).tanh()
        })
    }

    /// The mean of the vectors within each length, of norm 1, `[B, hidden_size]`: what sentence-transformers makes.
    pub fn sentence(&self, ids: &Tensor) -> Tensor {
        self.head(ids, || {
            let average = collapse::average().lengths(self.lengths.as_ref());
            average.apply(&self.apply(ids)).normalize(2.0, -1, 1e-12)
        })
    }

    /// Logits of the token at each position `[B, T, vocab_size]`: `BertForMaskedLM`.
    pub fn masked_lm(&self, ids: &Tensor) -> Tensor {
        let c = &self.config;
        self.head(ids, || {
            let x = linear(c.hidden_size).apply_at("cls.predictions.transform.dense", &self.apply_at("bert", ids));
            let norm = layer_norm().eps(c.layer_norm_eps).named("cls.predictions.transform.LayerNorm");
            let token = generate_token(c.vocab_size).tied("bert.embeddings.word_embeddings");
            token.bias("cls.predictions.bias").apply(&norm.apply(&c.hidden_act.apply(&x)))
        })
    }

    /// Logits of each of `labels` classes `[B, labels]`: `BertForSequenceClassification`.
    pub fn classify(&self, ids: &Tensor, labels: usize) -> Tensor {
        self.head(ids, || {
            let pooled = ids.graph().scoped("bert", || self.pooled(ids));
            linear(labels).apply_at("classifier", &pooled.dropout(self.config.hidden_dropout_prob))
        })
    }
}
