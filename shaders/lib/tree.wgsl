// Sums, products, maxima and minima: of pairs, and over the threads of a workgroup as a tree.
// A workgroup of 64 threads works on 64 / LANES rows; NaN wins over every number.
const SUM = 0u;
const MAX = 1u;
const MIN = 2u;
const PRODUCT = 3u;

override LANES: u32 = 64u;

var<workgroup> tree_values: array<f32, 64>;

fn tree_nan(x: vec4<f32>) -> vec4<bool> {
    return (bitcast<vec4<u32>>(x) & vec4(0x7fffffffu)) > vec4(0x7f800000u);
}

fn combine4(kind: u32, a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    if kind == SUM {
        return a + b;
    }
    if kind == PRODUCT {
        return a * b;
    }
    let better = select(b, a, select((a < b), (a > b), kind == MAX));
    return select(select(better, b, tree_nan(b)), a, tree_nan(a));
}

fn combine(kind: u32, a: f32, b: f32) -> f32 {
    return combine4(kind, vec4(a), vec4(b)).x;
}

// All four numbers of a vector as one.
fn combine_lanes(kind: u32, x: vec4<f32>) -> f32 {
    return combine(kind, combine(kind, x.x, x.y), combine(kind, x.z, x.w));
}

// The values of the LANES neighbouring threads that work on one row, as one. All threads call it.
fn tree(kind: u32, thread: u32, value: f32) -> f32 {
    if LANES == 1u {
        return value;
    }
    workgroupBarrier();
    tree_values[thread] = value;
    workgroupBarrier();
    let lane = thread % LANES;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half {
            tree_values[thread] = combine(kind, tree_values[thread], tree_values[thread + half]);
        }
        workgroupBarrier();
    }
    return tree_values[thread - lane];
}
