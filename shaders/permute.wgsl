// y[c] = x[c in another order]: at coordinates c, x is read at Σ c·stride.
//#import chain
//#import index

struct Params {
    // Threads.
    count: u32,
    // Elements of y along its last coordinate, and how far apart they are in x.
    last: u32,
    stride: u32,
    // How far apart in y neighbours in x are, for `exchange`.
    across: u32,
    // The coordinates of a thread: how many there are, and what one step means in x and in y.
    sizes: array<vec4<u32>, 2>,
    x_steps: array<vec4<u32>, 2>,
    y_steps: array<vec4<u32>, 2>,
    // Of a piece: the first thread, the elements of y and of x before those that are bound, and how many of x are.
    window: vec4<u32>,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<real>>;
@group(0) @binding(1) var<storage, read_write> y: array<real>;
@group(0) @binding(15) var<uniform> p: Params;

// Whether four neighbours in y are an aligned vector of x.
override ALIGNED: bool = false;
// Whether four neighbours in y are there where the first of them is.
override WHOLE: bool = false;
// Elements of y that a thread of `copy` computes: a multiple of 4.
override BLOCK: u32 = 4u;

// Whether x and y are bound in pieces.
override WINDOW: bool = false;

// How many coordinates a thread has.
override RANK: u32 = 8u;

// Where a thread begins in x and in y, and its last coordinate.
struct Place {
    x: u32,
    y: u32,
    last: u32,
}

fn place(thread: u32) -> Place {
    var rest = thread;
    var at = Place(0u, 0u, 0u);
    for (var k = 0u; k < RANK; k++) {
        let d = RANK - 1u - k;
        let size = p.sizes[d / 4u][d % 4u];
        // The first coordinate is what is left.
        let quotient = select(0u, rest / size, d > 0u);
        let coordinate = rest - quotient * size;
        at.x += coordinate * p.x_steps[d / 4u][d % 4u];
        at.y += coordinate * p.y_steps[d / 4u][d % 4u];
        if k == 0u {
            at.last = coordinate;
        }
        rest = quotient;
    }
    return at;
}

// A thread for BLOCK neighbours in y.
@compute @workgroup_size(64)
fn copy(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let number = p.window.x + workgroup_index(group, groups) * 64u + thread;
    if number >= p.count {
        return;
    }
    let at = place(number);
    let count = min(BLOCK, p.last - at.last * BLOCK);
    if ALIGNED {
        for (var j = 0u; j < count; j += 4u) {
            store4(at.y + j, vec4<f32>(x[(at.x + j) / 4u]));
        }
    } else if WHOLE {
        for (var j = 0u; j < count; j += 4u) {
            let i = at.x + (j + vec4(0u, 1u, 2u, 3u)) * p.stride;
            let first = vec2(f32(x[i.x / 4u][i.x % 4u]), f32(x[i.y / 4u][i.y % 4u]));
            store4(at.y + j, vec4(first, f32(x[i.z / 4u][i.z % 4u]), f32(x[i.w / 4u][i.w % 4u])));
        }
    } else {
        for (var j = 0u; j < count; j++) {
            let i = at.x + j * p.stride - p.window.z;
            if !WINDOW || i < p.window.w {
                store(at.y + j - p.window.y, f32(x[i / 4u][i % 4u]));
            }
        }
    }
}

// Squares of four by four that a thread of `exchange` takes, side by side in x.
override SQUARES: u32 = 1u;

// A thread for squares of four by four: four neighbours in y at each of four neighbours in x.
@compute @workgroup_size(64)
fn exchange(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let number = workgroup_index(group, groups) * 64u + thread;
    if number >= p.count {
        return;
    }
    let at = place(number);
    for (var s = 0u; s < SQUARES; s++) {
        let source = at.x + 4u * s;
        let sink = at.y + 4u * s * p.across;
        let a = vec4<f32>(x[source / 4u]);
        let b = vec4<f32>(x[(source + p.stride) / 4u]);
        let c = vec4<f32>(x[(source + 2u * p.stride) / 4u]);
        let d = vec4<f32>(x[(source + 3u * p.stride) / 4u]);
        store4(sink, vec4(a.x, b.x, c.x, d.x));
        store4(sink + p.across, vec4(a.y, b.y, c.y, d.y));
        store4(sink + 2u * p.across, vec4(a.z, b.z, c.z, d.z));
        store4(sink + 3u * p.across, vec4(a.w, b.w, c.w, d.w));
    }
}

// `copy` for index tensors.

@group(0) @binding(2) var<storage, read> x_index: array<u32>;
@group(0) @binding(3) var<storage, read_write> y_index: array<u32>;

@compute @workgroup_size(64)
fn copy_index(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let number = p.window.x + workgroup_index(group, groups) * 64u + thread;
    if number >= p.count {
        return;
    }
    let at = place(number);
    for (var j = 0u; j < min(BLOCK, p.last - at.last * BLOCK); j++) {
        let i = at.x + j * p.stride - p.window.z;
        if !WINDOW || i < p.window.w {
            y_index[at.y + j - p.window.y] = x_index[i];
        }
    }
}
