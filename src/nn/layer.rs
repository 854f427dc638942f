//! What a layer is, and how layers are put together.

use crate::{error::Place, graph::Tensor};

/// A recipe for a part of a network.
///
/// ```
/// use wgrad::{chain, nn::*, prelude::*};
///
/// let double = |x: &Tensor| x * 2.0; // a closure is a layer
/// let net = chain![linear(32), relu(), double, linear(10).named("head")];
/// let graph = Graph::new(Mode::Infer);
/// let y = net.apply(&graph.input("x", [8, 64]));
/// assert_eq!(y.shape(), [8, 10].into());
/// let names: Vec<String> = graph.variables().iter().map(|v| v.name.to_string()).collect();
/// assert_eq!(names, ["x", "0.weight", "0.bias", "head.weight", "head.bias"]);
/// ```
pub trait Layer {
    /// Applies the layer under the current path.
    fn apply(&self, x: &Tensor) -> Tensor;

    /// Applies the layer one step deeper in the path: at `place`, its position among its neighbours,
    /// or where [`named`](Layer::named) says.
    fn apply_at(&self, place: &str, x: &Tensor) -> Tensor {
        x.graph().scoped(place, || self.apply(x))
    }

    /// The same layer under a name of its own. The same name twice shares the parameters; an empty
    /// name adds nothing to the path.
    fn named(self, name: &str) -> Named<Self>
    where
        Self: Sized,
    {
        Named { name: name.to_owned(), layer: self }
    }

    /// The same layer, computed again for the gradients instead of kept for them: [`Graph::checkpointed`].
    ///
    /// ```
    /// # use wgrad::{nn::*, prelude::*};
    /// let encoder = stack("layers", 12, encoder_layer(4, 256).checkpointed());
    /// # let graph = Graph::new(Mode::Train);
    /// # encoder.apply(&graph.input("x", [2, 8, 64]));
    /// # graph.check().unwrap();
    /// ```
    ///
    /// [`Graph::checkpointed`]: crate::graph::Graph::checkpointed
    fn checkpointed(self) -> Checkpointed<Self>
    where
        Self: Sized,
    {
        Checkpointed(self)
    }
}

/// A layer that is computed again for the gradients: see [`Layer::checkpointed`].
#[derive(Clone, Debug)]
pub struct Checkpointed<L>(L);

impl<L: Layer> Layer for Checkpointed<L> {
    fn apply(&self, x: &Tensor) -> Tensor {
        x.graph().checkpointed(|| self.0.apply(x))
    }

    fn apply_at(&self, place: &str, x: &Tensor) -> Tensor {
        x.graph().checkpointed(|| self.0.apply_at(place, x))
    }
}

impl<F: Fn(&Tensor) -> Tensor> Layer for F {
    fn apply(&self, x: &Tensor) -> Tensor {
        self(x)
    }
}

impl Layer for Box<dyn Layer> {
    fn apply(&self, x: &Tensor) -> Tensor {
        (**self).apply(x)
    }

    fn apply_at(&self, place: &str, x: &Tensor) -> Tensor {
        (**self).apply_at(place, x)
    }
}

/// A layer with a name of its own: see [`Layer::named`].
#[derive(Clone, Debug)]
pub struct Named<L> {
    name: String,
    layer: L,
}

impl<L: Layer> Layer for Named<L> {
    fn apply(&self, x: &Tensor) -> Tensor {
        x.graph().scoped(&self.name, || self.layer.apply(x))
    }

    fn apply_at(&self, _place: &str, x: &Tensor) -> Tensor {
        self.apply(x)
    }
}

/// A model from the library whose mistakes belong to the line that asked for it.
#[derive(Clone, Debug)]
pub struct Placed<L> {
    place: Place,
    layer: L,
}

impl<L: Layer> Placed<L> {
    /// A layer whose mistakes belong to the caller's line.
    #[track_caller]
    pub fn new(layer: L) -> Placed<L> {
        Placed { place: Place::here(), layer }
    }
}

impl<L: Layer> Layer for Placed<L> {
    fn apply(&self, x: &Tensor) -> Tensor {
        x.graph().placed(self.place, || self.layer.apply(x))
    }
}

/// Layers one after another, named `0`, `1`, … like those of `torch.nn.Sequential`: see [`chain!`](crate::chain).
pub struct Chain(Vec<Box<dyn Layer>>);

impl Chain {
    /// Layers one after another.
    pub fn new(layers: Vec<Box<dyn Layer>>) -> Chain {
        Chain(layers)
    }
}

impl Layer for Chain {
    fn apply(&self, x: &Tensor) -> Tensor {
        let layers = self.0.iter().enumerate();
        layers.fold(x.clone(), |x, (i, layer)| layer.apply_at(&i.to_string(), &x))
    }
}

/// The same layer several times with parameters of its own each time: see [`stack`].
#[derive(Clone, Debug)]
pub struct Stack<L> {
    name: String,
    count: usize,
    layer: L,
}

/// `count` layers one after another, named `name.0`, `name.1`, …: `torch.nn.ModuleList`.
///
/// ```
/// # use wgrad::{nn::*, prelude::*};
/// let graph = Graph::new(Mode::Infer);
/// stack("layers", 6, encoder_layer(8, 2048)).apply(&graph.input("x", [2, 10, 512]));
/// assert_eq!(&*graph.variables()[1].name, "layers.0.self_attn.in_proj_bias");
/// ```
pub fn stack<L: Layer>(name: &str, count: usize, layer: L) -> Stack<L> {
    Stack { name: name.to_owned(), count, layer }
}

impl<L: Layer> Layer for Stack<L> {
    fn apply(&self, x: &Tensor) -> Tensor {
        (0..self.count).fold(x.clone(), |x, i| self.layer.apply_at(&format!("{}.{i}", self.name), &x))
    }
}

/// Layers one after another: `chain![conv(16, 3).pad(1), relu(), max_pool(2, 2)]`.
#[macro_export]
macro_rules! chain {
    ($($layer:expr),* $(,)?) => {
        $crate::nn::Chain::new(vec![$(Box::new($layer) as Box<dyn $crate::nn::Layer>),*])
    };
}

/// All dimensions but the first as one, `torch.nn.Flatten`: see [`flatten`].
#[derive(Clone, Copy, Debug)]
pub struct Flatten(Place);

/// `[N, …]` → `[N, ∏…]`.
#[track_caller]
pub fn flatten() -> Flatten {
    Flatten(Place::here())
}

impl Layer for Flatten {
    fn apply(&self, x: &Tensor) -> Tensor {
        x.graph().placed(self.0, || x.flatten(1, -1))
    }
}
