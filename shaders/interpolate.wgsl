// y[p, j] = (1 − λ)·x[p, ⌊s⌋] + λ·x[p, ⌊s⌋ + 1], s = scale·(j + ½) − ½ and λ = s − ⌊s⌋ along each axis; or x[p, ⌊scale·j⌋].
//#import chain
//#import index
//#import planes

struct Sizes {
    // Planes, depth, height and width.
    x: vec4<u32>,
    y: vec4<u32>,
    // Elements of x for one of y, along depth, rows and columns.
    scale: vec3<f32>,
}

// [planes, depth, height, width]
@group(0) @binding(0) var<storage, read> x: array<vec4<real>>;
// y [planes, depth, height, width]; below dx, likewise.
@group(0) @binding(1) var<storage, read_write> y: array<real>;
@group(0) @binding(2) var<uniform> sizes: Sizes;

const THREADS = 64u;

override MODE: u32 = 0u;
const NEAREST = 0u;
const NEAREST_EXACT = 1u;
const LINEAR = 2u;
const LINEAR_ALIGNED = 3u;

// The two elements that an element lies between, and how much of the second it takes.
struct Taps {
    first: vec4<u32>,
    second: vec4<u32>,
    part: vec4<f32>,
}

fn is_linear() -> bool {
    return MODE >= LINEAR;
}

// What is added to j before it is scaled, and what is taken from the product.
fn shift() -> vec2<f32> {
    return select(vec2(0.0), vec2(0.5, select(0.0, 0.5, MODE == LINEAR)), MODE == NEAREST_EXACT || MODE == LINEAR);
}

fn taps(axis: u32, j: vec4<u32>) -> Taps {
    let last = sizes.x[axis + 1u] - 1u;
    let place = max((vec4<f32>(j) + shift().x) * sizes.scale[axis] - shift().y, vec4<f32>());
    let first = min(vec4<u32>(place), vec4(last));
    if !is_linear() {
        return Taps(first, first, vec4<f32>());
    }
    let second = min(first + 1u, vec4(last));
    let part = select(clamp(place - vec4<f32>(first), vec4(0.0), vec4(1.0)), vec4<f32>(), first == second);
    return Taps(first, second, part);
}

@compute @workgroup_size(THREADS)
fn interpolate(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    var four = find_four(workgroup_index(group, groups) * THREADS + thread, sizes.y);
    if four.plane >= sizes.y.x {
        return;
    }
    for (var n = 0u; n < FOURS && four.column.x < sizes.y.w; n++) {
        interpolate_four(four);
        four.column += 4u;
    }
}

fn interpolate_four(four: Four) {
    let depth = taps(0u, vec4(four.depth));
    var value = between_rows(four, select(0u, depth.first.x, SOLID));
    if SOLID && is_linear() {
        value = between(value, between_rows(four, depth.second.x), depth.part.x);
    }
    store_four(four, sizes.y, value);
}

fn between(first: vec4<f32>, second: vec4<f32>, part: f32) -> vec4<f32> {
    return (1.0 - part) * first + part * second;
}

fn between_rows(four: Four, depth: u32) -> vec4<f32> {
    let row = taps(1u, vec4(four.row));
    let column = taps(2u, four.column);
    let first = between_columns(row_index(four.plane, depth, row.first.x, sizes.x), column);
    if !is_linear() {
        return first;
    }
    return between(first, between_columns(row_index(four.plane, depth, row.second.x, sizes.x), column), row.part.x);
}

fn between_columns(line: u32, column: Taps) -> vec4<f32> {
    let i = line + column.first;
    let first = vec4(number(i.x), number(i.y), number(i.z), number(i.w));
    if !is_linear() {
        return first;
    }
    let k = line + column.second;
    let second = vec4(number(k.x), number(k.y), number(k.z), number(k.w));
    return (1.0 - column.part) * first + column.part * second;
}

// The elements of y that may take from elements `first` to `last` of x along an axis, at least those: from x up to y.
// The first and the last element of x also stand for what lies outside.
fn takers(axis: u32, first: u32, last: u32) -> vec2<u32> {
    let count = f32(sizes.y[axis + 1u]);
    let back = select(0.0, 1.0, is_linear());
    let scale = max(sizes.scale[axis], 1e-20);
    let begin = (f32(first) - back + shift().y) / scale - shift().x;
    let end = (f32(last) + 1.0 + shift().y) / scale - shift().x;
    // Rounding moves them by less than this.
    let slack = 1.0 + 1e-6 * vec2(abs(begin), abs(end));
    let lowest = select(u32(clamp(begin - slack.x, 0.0, count)), 0u, first == 0u);
    return vec2(lowest, select(u32(clamp(end + slack.y + 1.0, 0.0, count)), u32(count), last + 1u >= sizes.x[axis + 1u]));
}

// dx[p, i] = Σ dy[p, j] times the part of x[i] in y[j], always in the order of j.
@compute @workgroup_size(THREADS)
fn interpolate_grad(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let four = find_four(workgroup_index(group, groups) * THREADS + thread, sizes.x);
    if four.plane >= sizes.x.x {
        return;
    }
    let depths = select(vec2(0u, 1u), takers(0u, four.depth, four.depth), SOLID);
    let rows = takers(1u, four.row, four.row);
    let columns = takers(2u, four.column.x, four.column.w);
    var sum = vec4<f32>();
    for (var d = depths.x; d < depths.y; d++) {
        let depth = taken(0u, d, vec4(four.depth));
        if SOLID && !depth.any.x {
            continue;
        }
        for (var r = rows.x; r < rows.y; r++) {
            let row = taken(1u, r, vec4(four.row));
            if !row.any.x {
                continue;
            }
            let line = row_index(four.plane, d, r, sizes.y);
            let part = row.part.x * select(1.0, depth.part.x, SOLID);
            for (var s = columns.x; s < columns.y; s++) {
                let column = taken(2u, s, four.column);
                sum += select(vec4<f32>(), number(line + s) * part * column.part, column.any);
            }
        }
    }
    store_four(four, sizes.x, sum);
}

struct Taken {
    any: vec4<bool>,
    part: vec4<f32>,
}

// How much of elements i of x is in element j of y, along an axis.
fn taken(axis: u32, j: u32, i: vec4<u32>) -> Taken {
    let source = taps(axis, vec4(j));
    let first = i == source.first;
    let second = i == source.second;
    return Taken(first | second, select(select(vec4<f32>(), source.part, second), 1.0 - source.part, first));
}
