//! Layers: recipes that declare their parameters when they are applied.
//!
//! A layer holds sizes, not weights. Applying it reads the input's sizes off the tensor and declares
//! the parameters under the current path, with PyTorch's names, so checkpoints load by name.
//! Functions and closures from tensor to tensor are layers too.

mod activation;
mod attention;
mod cache;
pub mod collapse;
mod continuation;
mod conv;
mod dropout;
mod embed;
mod generate;
mod layer;
mod linear;
mod norm;
mod pool;
mod position;
mod recurrent;
mod transformer;

pub use activation::{Activation, gelu, gelu_tanh, log_softmax, relu, sigmoid, silu, softmax, softplus, tanh};
pub use attention::{MultiHeadAttention, Projections, multi_head_attention};
pub use cache::Cache;
pub use continuation::Continuation;
pub use conv::{Axes, Conv, ConvTranspose, conv, conv_transpose1d, conv_transpose2d, conv_transpose3d, conv1d, conv3d};
pub use dropout::{Dropout, dropout};
pub use embed::{Embed, embed};
pub use generate::{GenerateToken, generate_token};
pub use layer::{Chain, Checkpointed, Flatten, Layer, Named, Placed, Stack, flatten, stack};
pub use linear::{FeedForward, Linear, feed_forward, linear};
pub use norm::{BatchNorm, GroupNorm, LayerNorm, RmsNorm, batch_norm, group_norm, instance_norm, layer_norm, rms_norm};
pub use pool::{
    AdaptiveAvgPool, AvgPool, GlobalAvgPool, MaxPool, Upsample, adaptive_avg_pool, avg_pool, avg_pool1d, avg_pool3d,
    global_avg_pool, max_pool, max_pool1d, max_pool3d, upsample,
};
pub use position::{LearnedPositions, SinusoidalPositions, learned_positions, sinusoidal_positions};
pub use recurrent::{Rnn, RnnStates, gru, lstm, relu_rnn, simple_rnn};
pub use transformer::{
    AddNorm, BlockNames, TransformerBlock, add_norm, decoder_layer, encoder_layer, pre_norm, transformer_block,
};
