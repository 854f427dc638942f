// y[o, j] = x[o, begin + j]: a range of each row of x. Backward: dx is dy in that range and zero elsewhere.
//#import chain
//#import index

struct Params {
    // All elements of the result.
    count: u32,
    // Elements of a row of the result, and of the argument.
    length: u32,
    given: u32,
    // Where the range begins in the longer row.
    begin: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<real>>; // [outer, given]
@group(0) @binding(2) var<storage, read_write> y: array<real>; // [outer, length]
@group(0) @binding(15) var<uniform> p: Params;

// Whether all of the sizes are multiples of 4.
override ALIGNED: bool = false;

fn source(k: u32) -> u32 {
    return k / p.length * p.given + p.begin + k % p.length;
}

// A thread for four elements of y.
@compute @workgroup_size(64)
fn take(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = (workgroup_index(group, groups) * 64u + thread) * 4u;
    if first >= p.count {
        return;
    }
    if ALIGNED {
        store4(first, vec4<f32>(x[source(first) / 4u]));
        return;
    }
    for (var k = first; k < min(first + 4u, p.count); k++) {
        let i = source(k);
        store(k, f32(x[i / 4u][i % 4u]));
    }
}

// The same for index tensors.

@group(0) @binding(4) var<storage, read> x_index: array<u32>; // [outer, given]
@group(0) @binding(5) var<storage, read_write> y_index: array<u32>; // [outer, length]

@compute @workgroup_size(64)
fn take_index(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = (workgroup_index(group, groups) * 64u + thread) * 4u;
    for (var k = first; k < min(first + 4u, p.count); k++) {
        y_index[k] = x_index[source(k)];
    }
}

// Backward.

@group(0) @binding(1) var<storage, read> dy: array<vec4<real>>; // [outer, given]
@group(0) @binding(3) var<storage, read_write> dx: array<vec4<real>>; // [outer, length]

// A thread for four elements of dx.
@compute @workgroup_size(64)
fn pad(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = (workgroup_index(group, groups) * 64u + thread) * 4u;
    if first >= p.count {
        return;
    }
    var value = vec4(0.0);
    for (var j = 0u; j < 4u; j++) {
        let k = first + j;
        // Elements before the range wrap around to numbers past its end.
        let at = k % p.length - p.begin;
        if at < p.given && k < p.count {
            let i = k / p.length * p.given + at;
            value[j] = f32(dy[i / 4u][i % 4u]);
        }
    }
    dx[first / 4u] = vec4<real>(value);
}
