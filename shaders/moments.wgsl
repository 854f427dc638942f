// mean = x₀ + Σ (x − x₀)/n and variance = Σ (x − mean)²/n over the n elements of a group, x₀ its first.
// The mean is returned as two numbers: its nearest f32, and the rest.
// x is [outer, a, c, b]: a group for each (o, c), of the a·b elements along the other two. A part of a group
// stays in cache while it is read twice; parts are combined by Chan, Golub and LeVeque's formula.
// An x larger than a binding is gone through piece by piece, each of them whole parts.
//#import index
//#import rounded
//#import tree

struct Params {
    groups: u32, // outer·c
    a: u32,
    c: u32,
    b: u32,
    // A part is `chunk_a` by `chunk_b` elements, `parts_b` of them lie side by side.
    chunk_a: u32,
    chunk_b: u32,
    parts_b: u32,
    parts: u32,
    // Which of [outer, parts along a, c, parts along b] are in the bytes of x that are bound, and how many of each.
    first: vec4<u32>,
    count: vec4<u32>,
    // Elements of x before those bytes.
    skipped: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<real>>; // [outer, a, c, b]
// With several parts these are of each part: x₀ [groups], mean of x − x₀ and n·variance [parts, groups].
@group(0) @binding(3) var<storage, read_write> center: array<f32>; // [groups]
@group(0) @binding(4) var<storage, read_write> rest: array<f32>; // [groups]
@group(0) @binding(5) var<storage, read_write> variance: array<f32>; // [groups]
@group(0) @binding(15) var<uniform> p: Params;

// Whether rows (of b, or of c where b = 1) are whole vectors.
override ALIGNED: bool = false;
// Of the LANES threads that share a part, those next to each other along b.
override ACROSS: u32 = 1u;
// b = 1: vectors of four neighbouring groups for a thread, at most four.
override VECTORS: u32 = 1u;

// Vectors summed before they are added to the total, so that rounding errors stay those of short sums.
const BLOCK = 16u;

// What is subtracted has to be a number.
fn finite_or_zero(value: f32) -> f32 {
    return select(value, 0.0, (bitcast<u32>(value) & 0x7f800000u) == 0x7f800000u);
}

// x − x₀, which no driver puts together with what is subtracted from it.
fn from_origin(x: vec4<f32>, x0: vec4<f32>) -> vec4<f32> {
    return rounded(x - x0, p.groups >> 31u);
}

// x₀ + m as its nearest f32 and the rest.
fn two_numbers(x0: f32, m: f32) -> vec2<f32> {
    let nearest = from_origin(vec4(x0), vec4(-m)).x;
    return vec2(nearest, finite_or_zero(from_origin(vec4(x0), vec4(nearest)).x + m));
}

fn write(part: u32, group: u32, x0: f32, m: f32, squares: f32, count: f32) {
    if p.parts == 1u {
        let mean = two_numbers(x0, m);
        center[group] = mean.x;
        rest[group] = mean.y;
        variance[group] = squares / count;
        return;
    }
    if part == 0u {
        center[group] = x0;
    }
    rest[part * p.groups + group] = m;
    variance[part * p.groups + group] = squares;
}

fn element(i: u32) -> f32 {
    let at = i - p.skipped;
    return f32(x[at / 4u][at % 4u]);
}

// x₀ of a group that begins at an element; where the pieces before have it, from there.
fn origin(group: u32, start: u32) -> f32 {
    if p.first.y + p.first.w > 0u {
        return center[group];
    }
    return finite_or_zero(element(start));
}

// Four elements of a row from k on, the last again for those past the end.
fn load_x(row: u32, k: u32, n: u32) -> vec4<f32> {
    if ALIGNED {
        return vec4<f32>(x[(row + k - p.skipped) / 4u]);
    }
    let i = row + min(k + vec4(0u, 1u, 2u, 3u), vec4(n - 1u));
    return vec4(element(i.x), element(i.y), element(i.z), element(i.w));
}

fn keep(k: u32, n: u32, value: vec4<f32>) -> vec4<f32> {
    return select(vec4(0.0), value, k + vec4(0u, 1u, 2u, 3u) < vec4(n));
}

// The elements of a part that belong to one thread.
struct Part {
    group: u32,
    number: u32,
    start: u32, // the group's first element
    row: u32,
    last_row: u32,
    first: u32,
    last: u32,
    count: f32, // of the whole part
}

fn size_of(part: u32) -> vec2<u32> {
    let row = part / p.parts_b * p.chunk_a;
    let column = part % p.parts_b * p.chunk_b;
    return vec2(min(p.chunk_a, p.a - row), min(p.chunk_b, p.b - column));
}

// Numbers past the last part get one without elements.
fn part_of(number: u32, lane: u32) -> Part {
    var part: Part;
    let groups = p.count.x * p.count.z;
    let outer = p.first.x + number % groups / p.count.z;
    let c = p.first.z + number % groups % p.count.z;
    let own = number / groups;
    part.group = outer * p.c + c;
    part.number = p.parts;
    part.start = (outer * p.a * p.c + c) * p.b;
    if own < p.count.y * p.count.w {
        part.number = (p.first.y + own / p.count.w) * p.parts_b + p.first.w + own % p.count.w;
        let size = size_of(part.number);
        let row = part.number / p.parts_b * p.chunk_a;
        let column = part.number % p.parts_b * p.chunk_b;
        part.row = row + lane / ACROSS;
        part.last_row = row + size.x;
        part.first = column + lane % ACROSS * 4u;
        part.last = column + size.y;
        part.count = f32(size.x * size.y);
    }
    return part;
}

// Σ (x − x₀ − m), or of the squares.
fn sum_part(part: Part, x0: f32, m: f32, squares: bool) -> f32 {
    var total = vec4(0.0);
    let step = 4u * ACROSS;
    for (var row = part.row; row < part.last_row; row += LANES / ACROSS) {
        let start = part.start + row * p.c * p.b;
        var k = part.first;
        while k < part.last {
            var block = vec4(0.0);
            let stop = min(k + BLOCK * step, part.last);
            for (; k < stop; k += step) {
                let d = from_origin(load_x(start, k, p.b), vec4(x0)) - m;
                block += keep(k, part.last, select(d, d * d, squares));
            }
            total += block;
        }
    }
    return (total.x + total.y) + (total.z + total.w);
}

// LANES threads for each part of each group.
@compute @workgroup_size(64)
fn rows(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let lane = thread % LANES;
    let part = part_of(workgroup_index(group, groups) * (64u / LANES) + thread / LANES, lane);
    let x0 = origin(part.group, part.start);
    let m = tree(SUM, thread, sum_part(part, x0, 0.0, false)) / part.count;
    let squares = tree(SUM, thread, sum_part(part, x0, m, true));
    if part.number < p.parts && lane == 0u {
        write(part.number, part.group, x0, m, squares, part.count);
    }
}

// b = 1: rows of c neighbouring groups, a thread for 4·VECTORS of them and `chunk_a` rows.
struct Columns {
    part: u32,
    first: u32, // the first group's c
    end: u32, // of the columns that are bound
    group: u32,
    start: u32, // of the outer's elements
    row: u32,
    last_row: u32,
}

fn columns_of(number: u32) -> Columns {
    let width = 4u * VECTORS;
    let across = (p.count.z + width - 1u) / width;
    let outer = p.first.x + number / across % p.count.x;
    let part = number / across / p.count.x;
    var columns: Columns;
    columns.part = select(p.parts, p.first.y + part, part < p.count.y);
    columns.first = p.first.z + number % across * width;
    columns.end = p.first.z + p.count.z;
    columns.group = outer * p.c + columns.first;
    columns.start = outer * p.a * p.c;
    columns.row = columns.part * p.chunk_a;
    columns.last_row = min(columns.row + p.chunk_a, p.a);
    return columns;
}

@compute @workgroup_size(64)
fn columns(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let own = columns_of(workgroup_index(group, groups) * 64u + thread);
    if own.part >= p.parts {
        return;
    }
    let count = f32(own.last_row - own.row);
    let none = vec4(0.0);
    var x0 = array(none, none, none, none);
    var m = array(none, none, none, none);
    var total = array(none, none, none, none);
    for (var v = 0u; v < VECTORS; v++) {
        for (var j = 0u; j < 4u; j++) {
            let k = min(own.first + 4u * v + j, own.end - 1u);
            x0[v][j] = origin(own.group + k - own.first, own.start + k);
        }
    }
    // First the means, then the squares.
    for (var pass_number = 0u; pass_number < 2u; pass_number++) {
        var row = own.row;
        while row < own.last_row {
            var block = array(none, none, none, none);
            let stop = min(row + BLOCK, own.last_row);
            for (; row < stop; row++) {
                for (var v = 0u; v < VECTORS; v++) {
                    // Past the last column this sums the last one again; it is not stored.
                    let k = min(own.first + 4u * v, own.end - 1u);
                    let d = from_origin(load_x(own.start + row * p.c, k, own.end), x0[v]) - m[v];
                    block[v] += select(d, d * d, pass_number == 1u);
                }
            }
            for (var v = 0u; v < VECTORS; v++) {
                total[v] += block[v];
            }
        }
        if pass_number == 0u {
            for (var v = 0u; v < VECTORS; v++) {
                m[v] = total[v] / count;
                total[v] = none;
            }
        }
    }
    for (var v = 0u; v < VECTORS; v++) {
        for (var j = 0u; j < 4u && own.first + 4u * v + j < own.end; j++) {
            write(own.part, own.group + 4u * v + j, x0[v][j], m[v][j], total[v][j], count);
        }
    }
}

// The parts of each group as one: mean = Σ n_p·m_p / n, variance = Σ (v_p + n_p·(m_p − mean)²) / n.

@group(0) @binding(6) var<storage, read> part_means: array<f32>; // [parts, groups]
@group(0) @binding(7) var<storage, read> part_variances: array<f32>; // [parts, groups], times n
@group(0) @binding(10) var<storage, read> origins: array<f32>; // x₀ [groups]

// LANES threads for each group.
@compute @workgroup_size(64)
fn finish(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let lane = thread % LANES;
    let own = workgroup_index(group, groups) * (64u / LANES) + thread / LANES;
    let first = select(p.parts, lane, own < p.groups);
    let n = f32(p.a) * f32(p.b);
    var sum = 0.0;
    for (var part = first; part < p.parts; part += LANES) {
        let size = size_of(part);
        sum += f32(size.x * size.y) * part_means[part * p.groups + own];
    }
    let m = tree(SUM, thread, sum) / n;
    var squares = 0.0;
    for (var part = first; part < p.parts; part += LANES) {
        let size = size_of(part);
        let d = part_means[part * p.groups + own] - m;
        squares += part_variances[part * p.groups + own] + f32(size.x * size.y) * d * d;
    }
    let total = tree(SUM, thread, squares);
    if own < p.groups && lane == 0u {
        let mean = two_numbers(origins[own], m);
        center[own] = mean.x;
        rest[own] = mean.y;
        variance[own] = total / n;
    }
}

// Backward: Σ dy and Σ dy·(x − center) over each group.

@group(0) @binding(1) var<storage, read> dy: array<vec4<real>>; // [outer, a, c, b]
@group(0) @binding(2) var<storage, read> middle: array<f32>; // center [groups]
@group(0) @binding(8) var<storage, read_write> sum: array<f32>; // [parts, groups]
@group(0) @binding(9) var<storage, read_write> dot_sum: array<f32>; // [parts, groups]

fn load_dy(row: u32, k: u32, n: u32) -> vec4<f32> {
    if ALIGNED {
        return vec4<f32>(dy[(row + k - p.skipped) / 4u]);
    }
    let i = row - p.skipped + min(k + vec4(0u, 1u, 2u, 3u), vec4(n - 1u));
    return vec4(
        f32(dy[i.x / 4u][i.x % 4u]),
        f32(dy[i.y / 4u][i.y % 4u]),
        f32(dy[i.z / 4u][i.z % 4u]),
        f32(dy[i.w / 4u][i.w % 4u]),
    );
}

// LANES threads for each part of each group.
@compute @workgroup_size(64)
fn sum_rows(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let lane = thread % LANES;
    let part = part_of(workgroup_index(group, groups) * (64u / LANES) + thread / LANES, lane);
    let around = middle[part.group];
    var total = vec4(0.0);
    var total_x = vec4(0.0);
    let step = 4u * ACROSS;
    for (var row = part.row; row < part.last_row; row += LANES / ACROSS) {
        let start = part.start + row * p.c * p.b;
        var k = part.first;
        while k < part.last {
            var block = vec4(0.0);
            var block_x = vec4(0.0);
            let stop = min(k + BLOCK * step, part.last);
            for (; k < stop; k += step) {
                let g = load_dy(start, k, p.b);
                block += keep(k, part.last, g);
                block_x += keep(k, part.last, g * (load_x(start, k, p.b) - around));
            }
            total += block;
            total_x += block_x;
        }
    }
    let plain = tree(SUM, thread, (total.x + total.y) + (total.z + total.w));
    let product = tree(SUM, thread, (total_x.x + total_x.y) + (total_x.z + total_x.w));
    if part.number < p.parts && lane == 0u {
        sum[part.number * p.groups + part.group] = plain;
        dot_sum[part.number * p.groups + part.group] = product;
    }
}

@compute @workgroup_size(64)
fn sum_columns(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let own = columns_of(workgroup_index(group, groups) * 64u + thread);
    if own.part >= p.parts {
        return;
    }
    let none = vec4(0.0);
    var around = array(none, none, none, none);
    for (var v = 0u; v < VECTORS; v++) {
        for (var j = 0u; j < 4u; j++) {
            around[v][j] = middle[min(own.group + 4u * v + j, p.groups - 1u)];
        }
    }
    var total = array(none, none, none, none);
    var total_x = array(none, none, none, none);
    var row = own.row;
    while row < own.last_row {
        var block = array(none, none, none, none);
        var block_x = array(none, none, none, none);
        let stop = min(row + BLOCK, own.last_row);
        for (; row < stop; row++) {
            for (var v = 0u; v < VECTORS; v++) {
                let k = min(own.first + 4u * v, own.end - 1u);
                let start = own.start + row * p.c;
                let g = load_dy(start, k, own.end);
                block[v] += g;
                block_x[v] += g * (load_x(start, k, own.end) - around[v]);
            }
        }
        for (var v = 0u; v < VECTORS; v++) {
            total[v] += block[v];
            total_x[v] += block_x[v];
        }
    }
    for (var v = 0u; v < VECTORS; v++) {
        for (var j = 0u; j < 4u && own.first + 4u * v + j < own.end; j++) {
            let at = own.part * p.groups + own.group + 4u * v + j;
            sum[at] = total[v][j];
            dot_sum[at] = total_x[v][j];
        }
    }
}

@compute @workgroup_size(64)
fn finish_sums(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let lane = thread % LANES;
    let own = workgroup_index(group, groups) * (64u / LANES) + thread / LANES;
    let first = select(p.parts, lane, own < p.groups);
    var total = vec2(0.0);
    for (var part = first; part < p.parts; part += LANES) {
        let at = part * p.groups + own;
        total += vec2(part_means[at], part_variances[at]);
    }
    let plain = tree(SUM, thread, total.x);
    let product = tree(SUM, thread, total.y);
    if own < p.groups && lane == 0u {
        sum[own] = plain;
        dot_sum[own] = product;
    }
}
