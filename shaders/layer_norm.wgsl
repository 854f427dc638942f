// y = γ·(x − mean)·rstd + β over rows of n, with rstd = 1/√(variance + ε) and the biased variance.
// All of it is computed from d = x − x₀, the differences from the row's first element: they are exact
// where the elements are close to each other, however far they are from zero. `mean` is that of d.
// rms_norm: the same without a mean, y = γ·x/√(Σ x²/n + ε).
//#import chain
//#import held
//#import index
//#import rounded
//#import rows
//#import tree

struct Params {
    rows: u32,
    n: u32,
    inner: u32, // 1
    eps: f32,
    // Rows of one partial sum.
    chunk: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<real>>; // [rows, n]
@group(0) @binding(1) var<storage, read> weight: array<vec4<real>>; // γ [n]
@group(0) @binding(2) var<storage, read> bias: array<vec4<real>>; // β [n]
@group(0) @binding(6) var<storage, read_write> y: array<real>; // [rows, n]
@group(0) @binding(7) var<storage, read_write> mean: array<f32>; // [rows]
@group(0) @binding(8) var<storage, read_write> rstd: array<f32>; // [rows]
@group(0) @binding(15) var<uniform> p: Params;

// Whether the mean is subtracted, and whether there are γ and β.
override CENTERED: bool = true;
override WEIGHTED: bool = true;
override BIASED: bool = true;

fn origin(start: u32) -> f32 {
    if !CENTERED {
        return 0.0;
    }
    return f32(x[start / 4u][start % 4u]);
}

fn load_d(start: u32, k: u32, x0: f32) -> vec4<f32> {
    let zero = p.n >> 31u;
    if ALIGNED {
        return rounded(vec4<f32>(x[(start + k) / 4u]) - x0, zero);
    }
    let i = row_indices(start, k);
    let row = vec4(
        f32(x[i.x / 4u][i.x % 4u]),
        f32(x[i.y / 4u][i.y % 4u]),
        f32(x[i.z / 4u][i.z % 4u]),
        f32(x[i.w / 4u][i.w % 4u]),
    );
    return rounded(row - x0, zero);
}

fn load_weight(k: u32) -> vec4<f32> {
    if !WEIGHTED {
        return vec4(1.0);
    }
    if ALIGNED {
        return vec4<f32>(weight[k / 4u]);
    }
    let i = row_indices(0u, k);
    return vec4(
        f32(weight[i.x / 4u][i.x % 4u]),
        f32(weight[i.y / 4u][i.y % 4u]),
        f32(weight[i.z / 4u][i.z % 4u]),
        f32(weight[i.w / 4u][i.w % 4u]),
    );
}

fn load_bias(k: u32) -> vec4<f32> {
    if !BIASED {
        return vec4(0.0);
    }
    if ALIGNED {
        return vec4<f32>(bias[k / 4u]);
    }
    let i = row_indices(0u, k);
    return vec4(
        f32(bias[i.x / 4u][i.x % 4u]),
        f32(bias[i.y / 4u][i.y % 4u]),
        f32(bias[i.z / 4u][i.z % 4u]),
        f32(bias[i.w / 4u][i.w % 4u]),
    );
}

fn sum_d(start: u32, x0: f32, first: u32, step: u32) -> f32 {
    if !CENTERED {
        return 0.0;
    }
    var total = vec4(0.0);
    var k = first;
    while k < p.n {
        var block = vec4(0.0);
        let stop = min(k + BLOCK * step, p.n);
        for (; k < stop; k += step) {
            block += row_keep(k, load_d(start, k, x0));
        }
        total += block;
    }
    return (total.x + total.y) + (total.z + total.w);
}

fn sum_squares(start: u32, x0: f32, m: f32, first: u32, step: u32) -> f32 {
    var total = vec4(0.0);
    var k = first;
    while k < p.n {
        var block = vec4(0.0);
        let stop = min(k + BLOCK * step, p.n);
        for (; k < stop; k += step) {
            let c = load_d(start, k, x0) - m;
            block += row_keep(k, c * c);
        }
        total += block;
    }
    return (total.x + total.y) + (total.z + total.w);
}

fn write(start: u32, x0: f32, m: f32, r: f32, first: u32, step: u32) {
    for (var k = first; k < p.n; k += step) {
        let value = load_weight(k) * ((load_d(start, k, x0) - m) * r) + load_bias(k);
        if ALIGNED {
            store4(start + k, value);
        } else {
            for (var j = 0u; j < min(4u, p.n - k); j++) {
                store(start + k + j, value[j]);
            }
        }
    }
}

// A thread for each row.
@compute @workgroup_size(64)
fn rows(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = workgroup_index(group, groups) * 64u + thread;
    if row >= p.rows {
        return;
    }
    let start = row_start(row);
    let x0 = origin(start);
    let m = sum_d(start, x0, 0u, 4u) / f32(p.n);
    let r = 1.0 / sqrt(sum_squares(start, x0, m, 0u, 4u) / f32(p.n) + p.eps);
    write(start, x0, m, r, 0u, 4u);
    mean[row] = m;
    rstd[row] = r;
}

// LANES threads for each row.
@compute @workgroup_size(WIDTH)
fn shared_rows(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = workgroup_index(group, groups) * (WIDTH / LANES) + thread / LANES;
    let start = row_start(row);
    let x0 = origin(start);
    // Threads past the last row take no elements but meet the barriers.
    let first = select(p.n, thread % LANES * 4u, row < p.rows);
    let step = 4u * LANES;
    let m = tree(SUM, thread, sum_d(start, x0, first, step)) / f32(p.n);
    let r = 1.0 / sqrt(tree(SUM, thread, sum_squares(start, x0, m, first, step)) / f32(p.n) + p.eps);
    write(start, x0, m, r, first, step);
    if row < p.rows && thread % LANES == 0u {
        mean[row] = m;
        rstd[row] = r;
    }
}

fn held_d(start: u32, lane: u32, j: u32, x0: f32) -> vec4<f32> {
    return load_d(start, held_from(lane, j), x0);
}

fn eight_d(start: u32, lane: u32, j: u32, x0: f32) -> Eight {
    return Eight(
        held_d(start, lane, j, x0), held_d(start, lane, j + 1u, x0),
        held_d(start, lane, j + 2u, x0), held_d(start, lane, j + 3u, x0),
        held_d(start, lane, j + 4u, x0), held_d(start, lane, j + 5u, x0),
        held_d(start, lane, j + 6u, x0), held_d(start, lane, j + 7u, x0));
}

fn hold_d(start: u32, lane: u32, x0: f32) -> Held {
    var d = Held();
    d.a = eight_d(start, lane, 0u, x0);
    if HELD > 8u {
        d.b = eight_d(start, lane, 8u, x0);
    }
    if HELD > 16u {
        d.c = eight_d(start, lane, 16u, x0);
    }
    if HELD > 24u {
        d.d = eight_d(start, lane, 24u, x0);
    }
    return d;
}

// How many rows the threads of a row take, one after the other; for several they keep γ and β.
override EACH: u32 = 1u;

// Apart from each other, as a kernel binds what its functions name: backward has no β.
fn held_weight(lane: u32, j: u32) -> vec4<f32> {
    return load_weight(held_from(lane, j));
}

fn held_bias(lane: u32, j: u32) -> vec4<f32> {
    return load_bias(held_from(lane, j));
}

fn eight_weights(lane: u32, j: u32) -> Eight {
    return Eight(
        held_weight(lane, j), held_weight(lane, j + 1u), held_weight(lane, j + 2u), held_weight(lane, j + 3u),
        held_weight(lane, j + 4u), held_weight(lane, j + 5u), held_weight(lane, j + 6u), held_weight(lane, j + 7u));
}

fn eight_biases(lane: u32, j: u32) -> Eight {
    return Eight(
        held_bias(lane, j), held_bias(lane, j + 1u), held_bias(lane, j + 2u), held_bias(lane, j + 3u),
        held_bias(lane, j + 4u), held_bias(lane, j + 5u), held_bias(lane, j + 6u), held_bias(lane, j + 7u));
}

fn hold_weights(lane: u32) -> Held {
    var weights = Held();
    weights.a = eight_weights(lane, 0u);
    if HELD > 8u {
        weights.b = eight_weights(lane, 8u);
    }
    if HELD > 16u {
        weights.c = eight_weights(lane, 16u);
    }
    if HELD > 24u {
        weights.d = eight_weights(lane, 24u);
    }
    return weights;
}

fn hold_biases(lane: u32) -> Held {
    var biases = Held();
    biases.a = eight_biases(lane, 0u);
    if HELD > 8u {
        biases.b = eight_biases(lane, 8u);
    }
    if HELD > 16u {
        biases.c = eight_biases(lane, 16u);
    }
    if HELD > 24u {
        biases.d = eight_biases(lane, 24u);
    }
    return biases;
}

fn put_y(start: u32, lane: u32, j: u32, normalised: vec4<f32>, weight: vec4<f32>, bias: vec4<f32>) {
    if held_has(lane, j) {
        let k = held_at(lane, j);
        if EACH > 1u {
            store4(start + k, weight * normalised + bias);
        } else {
            store4(start + k, load_weight(k) * normalised + load_bias(k));
        }
    }
}

fn put_eight(start: u32, lane: u32, j: u32, y: Eight, weights: Eight, biases: Eight) {
    put_y(start, lane, j, y[0], weights[0], biases[0]);
    put_y(start, lane, j + 1u, y[1], weights[1], biases[1]);
    put_y(start, lane, j + 2u, y[2], weights[2], biases[2]);
    put_y(start, lane, j + 3u, y[3], weights[3], biases[3]);
    put_y(start, lane, j + 4u, y[4], weights[4], biases[4]);
    put_y(start, lane, j + 5u, y[5], weights[5], biases[5]);
    put_y(start, lane, j + 6u, y[6], weights[6], biases[6]);
    put_y(start, lane, j + 7u, y[7], weights[7], biases[7]);
}

// LANES threads for each row, which keep it.
@compute @workgroup_size(WIDTH)
fn held_rows(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = (workgroup_index(group, groups) * (WIDTH / LANES) + thread / LANES) * EACH;
    let lane = thread % LANES;
    var weights = Held();
    var biases = Held();
    if EACH > 1u {
        weights = hold_weights(lane);
        biases = hold_biases(lane);
    }
    for (var i = 0u; i < EACH; i++) {
        let row = first + i;
        // Threads past the last row compute it again.
        let start = row_start(min(row, p.rows - 1u));
        let d = hold_d(start, lane, origin(start));
        var m = 0.0;
        if CENTERED {
            m = tree(SUM, thread, held_sum(lane, d)) / f32(p.n);
        }
        let c = held_minus(d, m);
        let r = 1.0 / sqrt(tree(SUM, thread, held_sum(lane, held_product(c, c))) / f32(p.n) + p.eps);
        let y = held_times(c, r);
        if row < p.rows {
            put_eight(start, lane, 0u, y.a, weights.a, biases.a);
            if HELD > 8u {
                put_eight(start, lane, 8u, y.b, weights.b, biases.b);
            }
            if HELD > 16u {
                put_eight(start, lane, 16u, y.c, weights.c, biases.c);
            }
            if HELD > 24u {
                put_eight(start, lane, 24u, y.d, weights.d, biases.d);
            }
            if lane == 0u {
                mean[row] = m;
                rstd[row] = r;
            }
        }
    }
}

// Backward, with the normalised x̂ = (d − mean)·rstd and g = γ·dy:
// dx = rstd·(g − (Σ g + x̂·Σ g·x̂) / n), without Σ g where no mean is subtracted.

@group(0) @binding(3) var<storage, read> mean_saved: array<f32>; // [rows]
@group(0) @binding(4) var<storage, read> rstd_saved: array<f32>; // [rows]
@group(0) @binding(5) var<storage, read> dy: array<vec4<real>>; // [rows, n]
@group(0) @binding(9) var<storage, read_write> dx: array<vec4<real>>; // [rows, n]

fn load_dy(start: u32, k: u32) -> vec4<f32> {
    if ALIGNED {
        return vec4<f32>(dy[(start + k) / 4u]);
    }
    let i = row_indices(start, k);
    return vec4(
        f32(dy[i.x / 4u][i.x % 4u]),
        f32(dy[i.y / 4u][i.y % 4u]),
        f32(dy[i.z / 4u][i.z % 4u]),
        f32(dy[i.w / 4u][i.w % 4u]),
    );
}

// What a row's elements have in common.
struct Row {
    start: u32,
    x0: f32,
    m: f32,
    r: f32,
}

fn row_of(row: u32) -> Row {
    let start = row_start(row);
    return Row(start, origin(start), mean_saved[row], rstd_saved[row]);
}

fn normalised(row: Row, k: u32) -> vec4<f32> {
    return (load_d(row.start, k, row.x0) - row.m) * row.r;
}

// g = γ·dy, rounded in all places alike: where a row is one number, what is subtracted from it has to be itself.
fn scaled(weight: vec4<f32>, gradient: vec4<f32>) -> vec4<f32> {
    return rounded(weight * gradient, p.n >> 31u);
}

fn load_g(start: u32, k: u32) -> vec4<f32> {
    return scaled(load_weight(k), load_dy(start, k));
}

// Σ g and Σ g·x̂
fn sums(row: Row, first: u32, step: u32) -> vec2<f32> {
    var total = vec4(0.0);
    var total_x = vec4(0.0);
    var k = first;
    while k < p.n {
        var block = vec4(0.0);
        var block_x = vec4(0.0);
        let stop = min(k + BLOCK * step, p.n);
        for (; k < stop; k += step) {
            let g = row_keep(k, load_g(row.start, k));
            block += g;
            block_x += g * normalised(row, k);
        }
        total += block;
        total_x += block_x;
    }
    return vec2((total.x + total.y) + (total.z + total.w), (total_x.x + total_x.y) + (total_x.z + total_x.w));
}

fn write_dx(row: Row, sum: vec2<f32>, first: u32, step: u32) {
    var means = sum / f32(p.n);
    if !CENTERED {
        means.x = 0.0;
    }
    for (var k = first; k < p.n; k += step) {
        let g = load_g(row.start, k);
        let value = row.r * (g - means.x - normalised(row, k) * means.y);
        if ALIGNED {
            dx[(row.start + k) / 4u] = vec4<real>(value);
        } else {
            for (var j = 0u; j < min(4u, p.n - k); j++) {
                let i = row.start + k + j;
                dx[i / 4u][i % 4u] = real(value[j]);
            }
        }
    }
}

@compute @workgroup_size(64)
fn backward_rows(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = workgroup_index(group, groups) * 64u + thread;
    if row < p.rows {
        let values = row_of(row);
        write_dx(values, sums(values, 0u, 4u), 0u, 4u);
    }
}

fn held_g(start: u32, lane: u32, j: u32, weight: vec4<f32>) -> vec4<f32> {
    let k = held_from(lane, j);
    if EACH > 1u {
        return scaled(weight, load_dy(start, k));
    }
    return load_g(start, k);
}

fn hold_g(start: u32, lane: u32, j: u32, weights: Eight) -> Eight {
    return Eight(
        held_g(start, lane, j, weights[0]), held_g(start, lane, j + 1u, weights[1]),
        held_g(start, lane, j + 2u, weights[2]), held_g(start, lane, j + 3u, weights[3]),
        held_g(start, lane, j + 4u, weights[4]), held_g(start, lane, j + 5u, weights[5]),
        held_g(start, lane, j + 6u, weights[6]), held_g(start, lane, j + 7u, weights[7]));
}

// What a row's threads know of dx = factor·(g − shift − x̂·along).
struct Slope {
    factor: f32,
    shift: f32,
    along: f32,
}

fn put_dx(start: u32, lane: u32, j: u32, slope: Slope, g: vec4<f32>, x: vec4<f32>) {
    if held_has(lane, j) {
        dx[(start + held_at(lane, j)) / 4u] = vec4<real>(slope.factor * (g - slope.shift - x * slope.along));
    }
}

fn put_eight_dx(start: u32, lane: u32, j: u32, slope: Slope, g: Eight, x: Eight) {
    put_dx(start, lane, j, slope, g[0], x[0]);
    put_dx(start, lane, j + 1u, slope, g[1], x[1]);
    put_dx(start, lane, j + 2u, slope, g[2], x[2]);
    put_dx(start, lane, j + 3u, slope, g[3], x[3]);
    put_dx(start, lane, j + 4u, slope, g[4], x[4]);
    put_dx(start, lane, j + 5u, slope, g[5], x[5]);
    put_dx(start, lane, j + 6u, slope, g[6], x[6]);
    put_dx(start, lane, j + 7u, slope, g[7], x[7]);
}

@compute @workgroup_size(WIDTH)
fn backward_held_rows(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = (workgroup_index(group, groups) * (WIDTH / LANES) + thread / LANES) * EACH;
    let lane = thread % LANES;
    var weights = Held();
    if EACH > 1u {
        weights = hold_weights(lane);
    }
    for (var i = 0u; i < EACH; i++) {
        let row = first + i;
        let own = row_of(min(row, p.rows - 1u));
        let x = held_times(held_minus(hold_d(own.start, lane, own.x0), own.m), own.r);
        var g = Held();
        g.a = hold_g(own.start, lane, 0u, weights.a);
        if HELD > 8u {
            g.b = hold_g(own.start, lane, 8u, weights.b);
        }
        if HELD > 16u {
            g.c = hold_g(own.start, lane, 16u, weights.c);
        }
        if HELD > 24u {
            g.d = hold_g(own.start, lane, 24u, weights.d);
        }
        var mean_g = 0.0;
        if CENTERED {
            mean_g = tree(SUM, thread, held_sum(lane, g)) / f32(p.n);
        }
        let along = tree(SUM, thread, held_sum(lane, held_product(g, x))) / f32(p.n);
        if row < p.rows {
            let slope = Slope(own.r, mean_g, along);
            put_eight_dx(own.start, lane, 0u, slope, g.a, x.a);
            if HELD > 8u {
                put_eight_dx(own.start, lane, 8u, slope, g.b, x.b);
            }
            if HELD > 16u {
                put_eight_dx(own.start, lane, 16u, slope, g.c, x.c);
            }
            if HELD > 24u {
                put_eight_dx(own.start, lane, 24u, slope, g.d, x.d);
            }
        }
    }
}

@compute @workgroup_size(WIDTH)
fn backward_shared_rows(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = workgroup_index(group, groups) * (WIDTH / LANES) + thread / LANES;
    let values = row_of(row);
    let first = select(p.n, thread % LANES * 4u, row < p.rows);
    let step = 4u * LANES;
    let part = sums(values, first, step);
    let sum = vec2(tree(SUM, thread, part.x), tree(SUM, thread, part.y));
    write_dx(values, sum, first, step);
}


// dγ = Σ dy·x̂ and dβ = Σ dy over the rows, here over those of each part.

@group(0) @binding(10) var<storage, read_write> dweight: array<f32>; // [parts, n]
@group(0) @binding(11) var<storage, read_write> dbias: array<f32>; // [parts, n]

// Vectors of four neighbouring columns for a thread, at most four.
override VECTORS: u32 = 1u;

@compute @workgroup_size(64)
fn backward_columns(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let width = 4u * VECTORS;
    let across = (p.n + width - 1u) / width;
    let number = workgroup_index(group, groups) * 64u + thread;
    let part = number / across;
    let first = number % across * width;
    var row = part * p.chunk;
    if row >= p.rows {
        return;
    }
    let end = min(row + p.chunk, p.rows);
    let none = vec4(0.0);
    var total = array(none, none, none, none);
    var total_x = array(none, none, none, none);
    while row < end {
        var block = array(none, none, none, none);
        var block_x = array(none, none, none, none);
        let stop = min(row + BLOCK, end);
        for (; row < stop; row++) {
            let values = row_of(row);
            for (var v = 0u; v < VECTORS; v++) {
                // Past the last column this sums the last one again; it is not stored.
                let k = min(first + 4u * v, p.n - 1u);
                let g = load_dy(values.start, k);
                block[v] += g;
                block_x[v] += g * normalised(values, k);
            }
        }
        for (var v = 0u; v < VECTORS; v++) {
            total[v] += block[v];
            total_x[v] += block_x[v];
        }
    }
    for (var v = 0u; v < VECTORS; v++) {
        let k = first + 4u * v;
        for (var j = 0u; j < 4u && k + j < p.n; j++) {
            dweight[part * p.n + k + j] = total_x[v][j];
            dbias[part * p.n + k + j] = total[v][j];
        }
    }
}
