// y[i, e] = W[ids[i], e]; ids past the last row of W give NaN.
//#import chain
//#import index

struct Params {
    // The number of ids.
    count: u32,
    // Columns of W.
    width: u32,
    // Rows of W.
    rows: u32,
    // The rows of W this dispatch sees, and the element at which its binding begins.
    first: u32,
    last: u32,
    base: u32,
    // The id whose row gets no gradient; past the last row where there is none.
    padding: u32,
}

@group(0) @binding(0) var<storage, read> w: array<vec4<real>>; // [rows, width]
@group(0) @binding(1) var<storage, read> ids: array<u32>; // [count]
@group(0) @binding(5) var<storage, read_write> y: array<real>; // [count, width]
@group(0) @binding(15) var<uniform> p: Params;

// Whether rows are whole vectors: width is a multiple of 4.
override ALIGNED: bool = false;
// Columns that a thread takes: a multiple of 4.
override BLOCK: u32 = 4u;

// A number that is no number: there is no constant for it.
fn not_a_number() -> f32 {
    return bitcast<f32>(0x7fc00000u | (p.rows & 1u));
}

@compute @workgroup_size(64)
fn gather(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let number = workgroup_index(group, groups) * 64u + thread;
    let across = (p.width + BLOCK - 1u) / BLOCK;
    let i = number / across;
    let e = (number - i * across) * BLOCK;
    if i >= p.count {
        return;
    }
    let id = ids[i];
    // The dispatch with the first rows also answers for ids that have none.
    let missing = id >= p.rows;
    if select(id < p.first || id >= p.last, p.first != 0u, missing) {
        return;
    }
    let at = select(id, p.first, missing) * p.width + e - p.base;
    let to = i * p.width + e;
    let count = min(BLOCK, p.width - e);
    if ALIGNED {
        for (var j = 0u; j < count; j += 4u) {
            store4(to + j, select(vec4<f32>(w[(at + j) / 4u]), vec4(not_a_number()), missing));
        }
    } else {
        for (var j = 0u; j < count; j++) {
            store(to + j, select(f32(w[(at + j) / 4u][(at + j) % 4u]), not_a_number(), missing));
        }
    }
}

// Backward: dW[v] = Σ dy[i] over the i with ids[i] = v, in the order of i.
// Equal ids are linked first, so that one thread sums a column of all of them.

@group(0) @binding(2) var<storage, read> heads_saved: array<u32>; // [rows]
@group(0) @binding(3) var<storage, read> nexts_saved: array<u32>; // [count]
@group(0) @binding(4) var<storage, read> dy: array<vec4<real>>; // [count, width]
@group(0) @binding(6) var<storage, read_write> heads: array<u32>; // [rows]
@group(0) @binding(7) var<storage, read_write> nexts: array<u32>; // [count]
@group(0) @binding(8) var<storage, read_write> dw: array<vec4<real>>; // [rows, width]

const CHUNK = 256u;
var<workgroup> chunk_ids: array<u32, CHUNK>;

// heads[v] is the first i with ids[i] = v, nexts[i] the next one after i; `count` where there is none, or where
// v is the padding.
// One workgroup goes through the ids in chunks, the last one first.
@compute @workgroup_size(256)
fn link(@builtin(local_invocation_index) thread: u32) {
    for (var v = thread; v < p.rows; v += CHUNK) {
        heads[v] = p.count;
    }
    for (var chunk = (p.count + CHUNK - 1u) / CHUNK; chunk > 0u; chunk--) {
        let begin = (chunk - 1u) * CHUNK;
        let i = begin + thread;
        var id = p.rows;
        if i < p.count {
            id = ids[i];
        }
        id = select(id, p.rows, id == p.padding);
        workgroupBarrier();
        chunk_ids[thread] = id;
        workgroupBarrier();
        storageBarrier();
        if id < p.rows {
            link_id(id, thread, begin);
        }
    }
}

// Links one id of a chunk; all ids of the chunk are in `chunk_ids`.
fn link_id(id: u32, thread: u32, begin: u32) {
    var is_first = true;
    var last = thread;
    var next = p.count;
    for (var j = 0u; j < CHUNK; j++) {
        if chunk_ids[j] == id {
            is_first = is_first && j >= thread;
            next = select(next, min(next, begin + j), j > thread);
            last = max(last, j);
        }
    }
    if last != thread {
        nexts[begin + thread] = next;
    }
    // The first of equal ids links the last of them to those of later chunks.
    if is_first {
        nexts[begin + last] = heads[id];
        heads[id] = begin + thread;
    }
}

// Zeros in `count` vectors of dW from the binding's beginning.
@compute @workgroup_size(64)
fn clear(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = (workgroup_index(group, groups) * 64u + thread) * 4u;
    for (var i = first; i < min(first + 4u, p.count); i++) {
        dw[i] = vec4<real>(0.0);
    }
}

fn load_dy(i: u32) -> vec4<f32> {
    if ALIGNED {
        return vec4<f32>(dy[i / 4u]);
    }
    // Past the last column this reads the next row, or zero behind the array; it is not used.
    return vec4(
        f32(dy[i / 4u][i % 4u]),
        f32(dy[(i + 1u) / 4u][(i + 1u) % 4u]),
        f32(dy[(i + 2u) / 4u][(i + 2u) % 4u]),
        f32(dy[(i + 3u) / 4u][(i + 3u) % 4u]),
    );
}

// A thread for four columns of an id; that of the first of equal ids sums them all.
@compute @workgroup_size(64)
fn scatter(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let number = workgroup_index(group, groups) * 64u + thread;
    let across = (p.width + 3u) / 4u;
    var i = number / across;
    let e = number % across * 4u;
    if i >= p.count {
        return;
    }
    let id = ids[i];
    if id < p.first || id >= p.last || heads_saved[id] != i {
        return;
    }
    var total = vec4(0.0);
    while i < p.count {
        // Blocks of 16, so that rounding errors stay those of short sums.
        var block = vec4(0.0);
        for (var k = 0u; k < 16u && i < p.count; k++) {
            block += load_dy(i * p.width + e);
            i = nexts_saved[i];
        }
        total += block;
    }
    // On top of what earlier ids have left, which is zero at first.
    let to = id * p.width + e - p.base;
    if ALIGNED {
        dw[to / 4u] = vec4<real>(vec4<f32>(dw[to / 4u]) + total);
    } else {
        for (var j = 0u; j < min(4u, p.width - e); j++) {
            dw[(to + j) / 4u][(to + j) % 4u] = real(f32(dw[(to + j) / 4u][(to + j) % 4u]) + total[j]);
        }
    }
}
