// y[o, k, i] = x[o, (k + shift) mod n, i], or x[o, n − 1 − k, i].
//#import chain
//#import index

struct Sizes {
    // Elements, the axis k, and the elements i behind it.
    count: u32,
    n: u32,
    inner: u32,
    shift: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<real>>; // [outer, n, inner]
@group(0) @binding(1) var<storage, read> x_index: array<u32>; // the same of indices
@group(0) @binding(2) var<storage, read_write> y: array<real>; // [outer, n, inner]
@group(0) @binding(3) var<storage, read_write> y_index: array<u32>; // the same of indices
@group(0) @binding(15) var<uniform> sizes: Sizes;

// Whether the axis is reversed.
override FLIP: bool = false;
// Whether inner is a multiple of 4.
override ALIGNED: bool = false;
// Neighbours that a thread takes: a multiple of 4.
override BLOCK: u32 = 4u;

// Where an element comes from.
fn source(e: u32) -> u32 {
    let row = e / sizes.inner;
    let begin = row / sizes.n * sizes.n;
    let k = row - begin;
    // k + shift may be beyond 32 bits.
    let rolled = select(k + sizes.shift, k - (sizes.n - sizes.shift), k >= sizes.n - sizes.shift);
    return (begin + select(rolled, sizes.n - 1u - k, FLIP)) * sizes.inner + e - row * sizes.inner;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = (workgroup_index(group, groups) * 64u + thread) * BLOCK;
    for (var e = first; e < min(first + BLOCK, sizes.count); e += select(1u, 4u, ALIGNED)) {
        let at = source(e);
        if ALIGNED {
            store4(e, vec4<f32>(x[at / 4u]));
        } else {
            store(e, f32(x[at / 4u][at % 4u]));
        }
    }
}

// The same for index tensors.
@compute @workgroup_size(64)
fn index(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = (workgroup_index(group, groups) * 64u + thread) * BLOCK;
    for (var e = first; e < min(first + BLOCK, sizes.count); e++) {
        y_index[e] = x_index[source(e)];
    }
}
