//! Operations that find elements by index, that order them, and that move or number them.

use super::{Entry, Example};
use crate::{
    data::DType,
    graph::{Init, Tensor},
    ops::{BeamSearch, Embedding},
};

pub(super) const ENTRIES: &[Entry] = &[
    Entry::several("beam_search", "", "the beams that go on and the texts that end, in place", |e| {
        let (batch, vocabulary) = (e.pick(3, 64, 512, 4096), 1000);
        let how = BeamSearch { beams: 4, vocabulary, most: 16, ends: vec![1], ..BeamSearch::default() };
        let book = e.graph().state("book", how.book(batch), Init::zeros());
        let penalty = e.positive([how.most]).cast(DType::F32);
        let step = |book: &Tensor, first: bool| {
            let values = e.x([batch, how.candidates()]).cast(DType::F32);
            let indices = e.ids([batch, how.candidates()], 4 * vocabulary);
            e.graph().beam_search(book, [&values, &indices], &penalty, &how, first)
        };
        let [book, ..] = step(&book, true);
        let [_, _, _, score, _] = step(&book, false);
        vec![score]
    }),
    Entry::new("embedding", "torch.nn.functional.embedding", "the rows of a matrix that indices name", |e| {
        let [rows, width] = table(e);
        e.x([rows, width]).embedding(&e.ids([e.pick(17, 512, 1024, 4096)], rows))
    }),
    Entry::new("embedding_with", "torch.nn.functional.embedding", "the same; one row gets no gradient", |e| {
        let [rows, width] = table(e);
        let options = Embedding { padding_idx: Some(0) };
        e.x([rows, width]).embedding_with(&e.ids([e.pick(17, 512, 1024, 4096)], rows), options)
    }),
    Entry::several("gather", "torch.gather", "x[o, index[o, k, i], i]", |e| {
        let (x, [rows, width]) = (rows_of(e), sizes(e));
        let index = e.ids([rows, width / 2], width);
        let columns = e.ids([rows + 1, width - 1], rows);
        e.forms(vec![x.gather(-1, &index), x.gather(0, &columns), index.gather(0, &columns.slice(1, ..width / 2))])
    }),
    Entry::several("scatter_add", "torch.scatter_add", "src added to x at the indices along a dimension", |e| {
        let (x, [rows, width]) = (rows_of(e), sizes(e));
        // More than one thread goes through.
        let many = e.pick(2000, 1, 1, 1);
        e.forms(vec![
            x.scatter_add(1, &e.ids([rows, width], width), &e.x([rows, width])),
            x.slice(0, ..1).reshape([width]).scatter_add(0, &e.ids([many], width), &e.x([many])),
        ])
    }),
    Entry::several("index_select", "torch.index_select", "the slices that ids name along a dimension", |e| {
        let (x, [rows, width]) = (rows_of(e), sizes(e));
        let (columns, many) = (e.ids([width / 2], width), e.ids([2 * rows], rows));
        e.forms(vec![x.index_select(1, &columns), x.index_select(0, &many), columns.index_select(0, &many)])
    }),
    Entry::new("masked_fill", "torch.Tensor.masked_fill", "a number where a mask is not 0, else x", |e| {
        rows_of(e).masked_fill(&e.mask(sizes(e)), -1e4)
    }),
    Entry::several("split", "torch.split", "pieces of given sizes along a dimension", |e| {
        let width = sizes(e)[1];
        rows_of(e).split(&[width / 4, width - width / 4], 1)
    }),
    Entry::several("chunk", "torch.chunk", "pieces of one size along a dimension", |e| rows_of(e).chunk(3, -1)),
    Entry::several("unbind", "torch.unbind", "the slices along a dimension", |e| {
        let [rows, width] = sizes(e);
        e.x([rows, 3, width]).unbind(1)
    }),
    Entry::new("movedim", "torch.movedim", "one dimension at another place", |e| {
        let [rows, width] = sizes(e);
        e.x([rows, 3, width]).movedim(0, -1)
    }),
    Entry::new("stack", "torch.stack", "tensors along a new dimension", |e| {
        Tensor::stack(&[&rows_of(e), &rows_of(e)], 1)
    }),
    Entry::several("flip", "torch.flip", "x in reverse order along dimensions", |e| {
        let (x, [rows, width]) = (rows_of(e), sizes(e));
        e.forms(vec![x.flip(&[-1]), x.flip(&[0]), e.ids([rows, width], 7).flip(&[1])])
    }),
    Entry::several("roll", "torch.roll", "x moved around along dimensions", |e| {
        let (x, [rows, width]) = (rows_of(e), sizes(e));
        e.forms(vec![x.roll(&[3], &[1]), x.roll(&[2, -1], &[0, 1]), e.ids([rows, width], 7).roll(&[1], &[1])])
    }),
    Entry::new("repeat", "torch.Tensor.repeat", "copies of x along each dimension", |e| rows_of(e).repeat(&[2, 3])),
    Entry::new("repeat_interleave", "torch.repeat_interleave", "each element several times in a row", |e| {
        rows_of(e).repeat_interleave(3, 1)
    }),
    Entry::several("tril", "torch.tril", "x where column ≤ row + k, else 0", |e| {
        e.forms(vec![rows_of(e).tril(1), e.ids(sizes(e), 7).tril(0)])
    }),
    Entry::new("triu", "torch.triu", "x where column ≥ row + k, else 0", |e| rows_of(e).triu(-1)),
    Entry::new("one_hot", "torch.nn.functional.one_hot", "1 at the class that an id names, else 0", |e| {
        let [rows, width] = sizes(e);
        e.ids([rows], width).one_hot(width)
    }),
    Entry::several("arange", "torch.arange", "start + i·step", |e| {
        let arange = |dtype| e.graph().arange(0.0, e.elements() as f64, 1.0, dtype);
        e.forms(vec![arange(e.dtype()), arange(crate::data::DType::U32)])
    }),
    Entry::new("linspace", "torch.linspace", "equal steps from one number to another", |e| {
        e.graph().linspace(0.0, 1.0, e.elements(), e.dtype())
    }),
    Entry::several("cumsum", "torch.cumsum", "Σ x[j] over the j ≤ k", |e| {
        let (x, long) = (rows_of(e), e.x([e.pick(3000, 2, 2, 2)]));
        let pairs = long.reshape([long.shape().numel() / 2, 2]);
        e.forms(vec![x.cumsum(-1), x.cumsum(0), long.cumsum(0), pairs.cumsum(0)])
    }),
    Entry::several("cumprod", "torch.cumprod", "Π x[j] over the j ≤ k; its gradient is exact at zeros", |e| {
        let x = e.within(sizes(e), 0.9..1.1);
        e.forms(vec![x.cumprod(-1), x.cumprod(0)])
    }),
    Entry::several("argmin", "torch.argmin", "the first index of min x; NaN wins", |e| {
        let x = rows_of(e);
        e.forms(vec![x.argmin(-1), x.argmin(0)])
    }),
    Entry::several("argsort", "torch.argsort", "the indices that sort x, stable; NaN last", |e| {
        let (x, long, ids) = (rows_of(e), e.x([e.pick(150_000, 1, 1, 1)]), e.ids([e.pick(1500, 1, 1, 1)], 1000));
        e.forms(vec![x.argsort(-1, false), x.argsort(0, true), long.argsort(0, true), ids.argsort(0, false)])
    }),
    Entry::several("sort", "torch.sort", "x in order, and the indices that sort it", |e| {
        let (values, order) = rows_of(e).sort(-1, true);
        vec![values, order]
    }),
    Entry::several("topk", "torch.topk", "the k largest or smallest elements in order, and their indices", |e| {
        let (values, order) = rows_of(e).topk(10, -1, true);
        vec![values, order]
    }),
    Entry::new("permutation", "torch.randperm", "0 … n − 1 in random order", |e| {
        e.graph().permutation(e.elements())
    }),
];

fn table(e: &Example) -> [usize; 2] {
    [e.pick(11, 1000, 10_000, 30_000), e.pick(5, 128, 384, 384)]
}

fn sizes(e: &Example) -> [usize; 2] {
    [e.pick(5, 128, 512, 8192), e.pick(37, 1024, 1024, 1024)]
}

/// Rows of 1024 elements.
fn rows_of(e: &Example) -> Tensor {
    e.x(sizes(e))
}
