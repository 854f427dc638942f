// y[o, at + j] = x[o, j]: the rows of one input inside the longer rows of the result.
//#import chain
//#import index

struct Params {
    // All elements of x.
    count: u32,
    // Elements of a row of x, and of y.
    given: u32,
    length: u32,
    // Where the rows of x begin in those of y.
    at: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<real>>; // [outer, given]
@group(0) @binding(1) var<storage, read_write> y: array<real>; // [outer, length]
@group(0) @binding(15) var<uniform> p: Params;

// Whether all of the sizes are multiples of 4.
override ALIGNED: bool = false;

fn destination(i: u32) -> u32 {
    return i / p.given * p.length + p.at + i % p.given;
}

// A thread for four elements of x.
@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = (workgroup_index(group, groups) * 64u + thread) * 4u;
    if first >= p.count {
        return;
    }
    if ALIGNED {
        store4(destination(first), vec4<f32>(x[first / 4u]));
        return;
    }
    for (var i = first; i < min(first + 4u, p.count); i++) {
        store(destination(i), f32(x[i / 4u][i % 4u]));
    }
}

// The same for index tensors.

@group(0) @binding(2) var<storage, read> x_index: array<u32>; // [outer, given]
@group(0) @binding(3) var<storage, read_write> y_index: array<u32>; // [outer, length]

@compute @workgroup_size(64)
fn index(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = (workgroup_index(group, groups) * 64u + thread) * 4u;
    for (var i = first; i < min(first + 4u, p.count); i++) {
        y_index[destination(i)] = x_index[i];
    }
}
