// Sums, products, maxima and minima of pairs; NaN wins over every number.
const SUM = 0u;
const MAX = 1u;
const MIN = 2u;
const PRODUCT = 3u;

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
