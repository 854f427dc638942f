// y[o, j] = x[o, begin + j]: a range of each row of x. Backward: dx is dy in that range and zero elsewhere.
//#import chain
//#import index
//#import turned

struct Params {
    // Rows, and elements of a row of the result and of the argument.
    rows: u32,
    length: u32,
    given: u32,
    // Where the range begins in the longer row.
    begin: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<real>>; // [rows, given]
@group(0) @binding(2) var<storage, read_write> y: array<real>; // [rows, length]
@group(0) @binding(15) var<uniform> p: Params;

// Whether all of the sizes are multiples of 4.
override ALIGNED: bool = false;
// Whether rows of the result are whole vectors.
override WHOLE: bool = false;
// Elements of a row that a thread computes: a multiple of 4.
override BLOCK: u32 = 4u;

// The elements of the result that belong to a thread: those from k on of a row, `count` of them.
struct Block {
    row: u32,
    k: u32,
    count: u32,
}

fn block_of(number: u32) -> Block {
    let across = (p.length + BLOCK - 1u) / BLOCK;
    let row = number / across;
    let k = (number - row * across) * BLOCK;
    return Block(row, k, select(0u, min(BLOCK, p.length - k), row < p.rows));
}

@compute @workgroup_size(64)
fn take(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let block = block_of(workgroup_index(group, groups) * 64u + thread);
    let to = block.row * p.length + block.k;
    let at = block.row * p.given + p.begin + block.k;
    if ALIGNED {
        for (var j = 0u; j < block.count; j += 4u) {
            store4(to + j, vec4<f32>(x[(at + j) / 4u]));
        }
    } else if WHOLE {
        for (var j = 0u; j < block.count; j += 4u) {
            let v = (at + j) / 4u;
            store4(to + j, turned(vec4<f32>(x[v]), vec4<f32>(x[v + 1u]), at % 4u));
        }
    } else {
        for (var j = 0u; j < block.count; j++) {
            store(to + j, f32(x[(at + j) / 4u][(at + j) % 4u]));
        }
    }
}

// The same for index tensors.

@group(0) @binding(4) var<storage, read> x_index: array<u32>; // [rows, given]
@group(0) @binding(5) var<storage, read_write> y_index: array<u32>; // [rows, length]

@compute @workgroup_size(64)
fn take_index(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let block = block_of(workgroup_index(group, groups) * 64u + thread);
    for (var j = 0u; j < block.count; j++) {
        y_index[block.row * p.length + block.k + j] = x_index[block.row * p.given + p.begin + block.k + j];
    }
}

// Backward.

@group(0) @binding(1) var<storage, read> dy: array<vec4<real>>; // [rows, given]
@group(0) @binding(3) var<storage, read_write> dx: array<vec4<real>>; // [rows, length]

@compute @workgroup_size(64)
fn pad(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let block = block_of(workgroup_index(group, groups) * 64u + thread);
    let to = block.row * p.length + block.k;
    for (var j = 0u; j < block.count; j += select(1u, 4u, ALIGNED || WHOLE)) {
        // Elements before the range wrap around to numbers past its end.
        let k = block.k + j - p.begin;
        let i = block.row * p.given + k;
        if ALIGNED {
            dx[(to + j) / 4u] = select(vec4<real>(0.0), dy[i / 4u], k < p.given);
        } else if WHOLE {
            let v = vector_of(i);
            let four = turned(vec4<f32>(dy[v]), vec4<f32>(dy[v + 1u]), i % 4u);
            dx[(to + j) / 4u] = vec4<real>(select(vec4<f32>(), four, k + vec4(0u, 1u, 2u, 3u) < vec4(p.given)));
        } else {
            dx[(to + j) / 4u][(to + j) % 4u] = select(real(0.0), dy[i / 4u][i % 4u], k < p.given);
        }
    }
}
