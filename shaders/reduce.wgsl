// y[o, p, i] = scale · Σ f(x[o, k, i]) over the k of part p: a sum, product, maximum or minimum.
// x [outer, n, inner] is cut along n into parts of `chunk`; further stages reduce the parts.
//#import chain
//#import index
//#import tree

struct Params {
    n: u32,
    inner: u32,
    chunk: u32,
    parts: u32,
    // The rows (o, p) of this dispatch.
    first: u32,
    last: u32,
    // The element of x at which the binding begins.
    base: u32,
    // What leaves the other operand as it is: 0, 1, −∞ or ∞.
    identity: f32,
    scale: f32,
}

// x is read as words, so that stages may read one width of float and write the other.
@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>; // [outer, n, inner]
@group(0) @binding(1) var<storage, read_write> y: array<real>; // [outer, parts, inner]
@group(0) @binding(15) var<uniform> p: Params;

override KIND: u32 = 0u;
// f(x): x, x², |x|, x with 1 for 0, or 1 for 0 and 0 for others.
override MAP: u32 = 0u;
// Whether x has 16-bit floats.
override HALF: bool = false;
// Vectors of four neighbouring columns that a thread of `columns` takes; 0 for a single column.
override VECTORS: u32 = 0u;

// Vectors summed before they are added to the total, so that rounding errors stay those of short sums.
const BLOCK = 16u;

fn loaded(value: vec4<f32>) -> vec4<f32> {
    switch MAP {
        case 1u: {
            return value * value;
        }
        case 2u: {
            return abs(value);
        }
        case 3u: {
            return select(value, vec4(1.0), value == vec4(0.0));
        }
        case 4u: {
            return select(vec4(0.0), vec4(1.0), value == vec4(0.0));
        }
        default: {
            return value;
        }
    }
}

fn load_x(i: u32) -> f32 {
    if HALF {
        return loaded(vec4(unpack2x16float(x[i / 8u][i / 2u % 4u])[i % 2u])).x;
    }
    return loaded(vec4(bitcast<f32>(x[i / 4u][i % 4u]))).x;
}

// Four elements from a multiple of four on.
fn load_x4(i: u32) -> vec4<f32> {
    if HALF {
        let words = x[i / 8u];
        let pair = select(words.xy, words.zw, i % 8u != 0u);
        return loaded(vec4(unpack2x16float(pair.x), unpack2x16float(pair.y)));
    }
    return loaded(bitcast<vec4<f32>>(x[i / 4u]));
}

fn row_begin(row: u32) -> u32 {
    return row / p.parts * p.n + row % p.parts * p.chunk;
}

fn row_length(row: u32) -> u32 {
    return min(p.chunk, p.n - row % p.parts * p.chunk);
}

// The elements of a contiguous row that belong to one of `lanes` threads.
fn reduce_row(row: u32, lane: u32, lanes: u32) -> f32 {
    let begin = row_begin(row) - p.base;
    let to = begin + row_length(row);
    let whole_begin = min((begin + 3u) / 4u * 4u, to);
    let whole_to = max(to / 4u * 4u, whole_begin);
    let step = 4u * lanes;

    var total = vec4(p.identity);
    var i = whole_begin + 4u * lane;
    while i < whole_to {
        var block = vec4(p.identity);
        let stop = min(i + BLOCK * step, whole_to);
        // Four at a time: their loads do not wait for each other.
        for (; i + 3u * step < stop; i += 4u * step) {
            let x = array(load_x4(i), load_x4(i + step), load_x4(i + 2u * step), load_x4(i + 3u * step));
            block = combine4(KIND, combine4(KIND, combine4(KIND, combine4(KIND, block, x[0]), x[1]), x[2]), x[3]);
        }
        for (; i < stop; i += step) {
            block = combine4(KIND, block, load_x4(i));
        }
        total = combine4(KIND, total, block);
    }
    // At most three elements lie before the whole vectors, and three behind.
    for (var k = begin + lane; k < whole_begin; k += lanes) {
        total.x = combine(KIND, total.x, load_x(k));
    }
    for (var k = whole_to + lane; k < to; k += lanes) {
        total.y = combine(KIND, total.y, load_x(k));
    }
    return combine_lanes(KIND, total);
}

// inner = 1: a thread for each row.
@compute @workgroup_size(64)
fn rows(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = p.first + workgroup_index(group, groups) * 64u + thread;
    if row < p.last {
        store(row, p.scale * reduce_row(row, 0u, 1u));
    }
}

// inner = 1: LANES threads for each row.
@compute @workgroup_size(64)
fn shared_rows(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let lane = thread % LANES;
    let row = p.first + workgroup_index(group, groups) * (64u / LANES) + thread / LANES;
    var part = p.identity;
    if row < p.last {
        part = reduce_row(row, lane, LANES);
    }
    let total = tree(KIND, thread, part);
    if row < p.last && lane == 0u {
        store(row, p.scale * total);
    }
}

// inner > 1: a thread for each column, or for vectors of neighbouring ones.
@compute @workgroup_size(64)
fn columns(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let width = max(1u, 4u * VECTORS);
    let across = p.inner / width;
    let number = workgroup_index(group, groups) * 64u + thread;
    let row = p.first + number / across;
    if row >= p.last {
        return;
    }
    let column = number % across * width;

    var i = row_begin(row) * p.inner + column - p.base;
    var left = row_length(row);
    let none = vec4(p.identity);
    var total = array(none, none, none, none);
    while left > 0u {
        var block = array(none, none, none, none);
        let count = min(left, BLOCK);
        var k = 0u;
        // Four rows at a time: their loads do not wait for each other.
        for (; k + 4u <= count; k += 4u) {
            if VECTORS == 0u {
                let x = vec4(load_x(i), load_x(i + p.inner), load_x(i + 2u * p.inner), load_x(i + 3u * p.inner));
                for (var j = 0u; j < 4u; j++) {
                    block[0].x = combine(KIND, block[0].x, x[j]);
                }
            }
            for (var v = 0u; v < VECTORS; v++) {
                let at = i + 4u * v;
                let x = array(
                    load_x4(at), load_x4(at + p.inner), load_x4(at + 2u * p.inner), load_x4(at + 3u * p.inner));
                block[v] = combine4(KIND, combine4(KIND, combine4(KIND, combine4(KIND, block[v], x[0]), x[1]), x[2]), x[3]);
            }
            i += 4u * p.inner;
        }
        for (; k < count; k++) {
            if VECTORS == 0u {
                block[0].x = combine(KIND, block[0].x, load_x(i));
            }
            for (var v = 0u; v < VECTORS; v++) {
                block[v] = combine4(KIND, block[v], load_x4(i + 4u * v));
            }
            i += p.inner;
        }
        for (var v = 0u; v < 4u; v++) {
            total[v] = combine4(KIND, total[v], block[v]);
        }
        left -= count;
    }
    if VECTORS == 0u {
        store(row * p.inner + column, p.scale * total[0].x);
    }
    for (var v = 0u; v < VECTORS; v++) {
        store4(row * p.inner + column + 4u * v, p.scale * total[v]);
    }
}

// inner > 1, of whole vectors: 64 threads for each vector of neighbouring columns, four vectors side by side.
var<workgroup> column_parts: array<vec4<f32>, 256>;

@compute @workgroup_size(256)
fn shared_columns(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let across = (p.inner + 15u) / 16u;
    let number = workgroup_index(group, groups);
    let row = p.first + number / across;
    let column = number % across * 16u + thread % 4u * 4u;
    let down = thread / 4u;
    var total = vec4(p.identity);
    if row < p.last && column < p.inner {
        let begin = row_begin(row) * p.inner + column - p.base;
        let step = 64u * p.inner;
        let end = row_length(row);
        var i = begin + down * p.inner;
        var k = down;
        for (; k + 192u < end; k += 256u) {
            let x = array(load_x4(i), load_x4(i + step), load_x4(i + 2u * step), load_x4(i + 3u * step));
            let block = combine4(KIND, combine4(KIND, x[0], x[1]), combine4(KIND, x[2], x[3]));
            total = combine4(KIND, total, block);
            i += 4u * step;
        }
        for (; k < end; k += 64u) {
            total = combine4(KIND, total, load_x4(i));
            i += step;
        }
    }
    column_parts[thread] = total;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if down < half {
            column_parts[thread] = combine4(KIND, column_parts[thread], column_parts[thread + 4u * half]);
        }
        workgroupBarrier();
    }
    if down == 0u && row < p.last && column < p.inner {
        store4(row * p.inner + column, p.scale * column_parts[thread]);
    }
}
