// y[o, at + j] = x[o, j]: the rows of one input inside the longer rows of the result.
//#import chain
//#import index

struct Params {
    // Rows, and elements of a row of x and of y.
    rows: u32,
    given: u32,
    length: u32,
    // Where the rows of x begin in those of y.
    at: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<real>>; // [rows, given]
@group(0) @binding(1) var<storage, read_write> y: array<real>; // [rows, length]
@group(0) @binding(15) var<uniform> p: Params;

// Whether all of the sizes are multiples of 4.
override ALIGNED: bool = false;
// Elements of a row that a thread copies: a multiple of 4.
override BLOCK: u32 = 4u;

// The elements of x that belong to a thread: those from k on of a row, `count` of them.
struct Block {
    row: u32,
    k: u32,
    count: u32,
}

fn block_of(number: u32) -> Block {
    let across = (p.given + BLOCK - 1u) / BLOCK;
    let row = number / across;
    let k = (number - row * across) * BLOCK;
    return Block(row, k, select(0u, min(BLOCK, p.given - k), row < p.rows));
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let block = block_of(workgroup_index(group, groups) * 64u + thread);
    let to = block.row * p.length + p.at + block.k;
    let i = block.row * p.given + block.k;
    if ALIGNED {
        for (var j = 0u; j < block.count; j += 4u) {
            store4(to + j, vec4<f32>(x[(i + j) / 4u]));
        }
    } else {
        for (var j = 0u; j < block.count; j++) {
            store(to + j, f32(x[(i + j) / 4u][(i + j) % 4u]));
        }
    }
}

// The same for index tensors.

@group(0) @binding(2) var<storage, read> x_index: array<u32>; // [rows, given]
@group(0) @binding(3) var<storage, read_write> y_index: array<u32>; // [rows, length]

@compute @workgroup_size(64)
fn index(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let block = block_of(workgroup_index(group, groups) * 64u + thread);
    for (var j = 0u; j < block.count; j++) {
        y_index[block.row * p.length + p.at + block.k + j] = x_index[block.row * p.given + block.k + j];
    }
}
