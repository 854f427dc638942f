// y[k] = x[the same coordinates in another order]: element k of y has coordinates c, x is read at Σ c·stride.
//#import chain
//#import index

struct Params {
    // Elements of y, or vectors of four where WIDE.
    count: u32,
    rank: u32,
    pad0: u32,
    pad1: u32,
    // The sizes of y, neighbours that stay neighbours as one, and the strides of x in the same order;
    // where WIDE, in vectors along the last of them.
    sizes: array<vec4<u32>, 2>,
    strides: array<vec4<u32>, 2>,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<real>>;
@group(0) @binding(1) var<storage, read_write> y: array<real>;
@group(0) @binding(15) var<uniform> p: Params;

// Whether four neighbours in y are an aligned vector of x.
override WIDE: bool = false;

// Where x is read for element (or vector) k of y.
fn source(k: u32) -> u32 {
    var rest = k;
    var i = 0u;
    for (var d = p.rank - 1u; d > 0u; d--) {
        let size = p.sizes[d / 4u][d % 4u];
        i += rest % size * p.strides[d / 4u][d % 4u];
        rest /= size;
    }
    return i + rest * p.strides[0].x;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let k = workgroup_index(group, groups) * 64u + thread;
    if k >= p.count {
        return;
    }
    let i = source(k);
    if WIDE {
        store4(k * 4u, vec4<f32>(x[i]));
    } else {
        store(k, f32(x[i / 4u][i % 4u]));
    }
}

// The same for index tensors.

@group(0) @binding(2) var<storage, read> x_index: array<u32>;
@group(0) @binding(3) var<storage, read_write> y_index: array<u32>;

@compute @workgroup_size(64)
fn index(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let k = workgroup_index(group, groups) * 64u + thread;
    if k < p.count {
        y_index[k] = x_index[source(k)];
    }
}
