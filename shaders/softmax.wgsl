// softmax: y = exp(x − m) / Σ exp(x − m) with m = max x; log_softmax: y = x − m − log Σ exp(x − m)
//#import chain
//#import held
//#import index
//#import rows
//#import tree

struct Params {
    rows: u32,
    n: u32,
    inner: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<real>>; // [outer, n, inner]
@group(0) @binding(3) var<storage, read_write> y: array<real>; // [outer, n, inner]
@group(0) @binding(15) var<uniform> p: Params;

// Whether the result is the logarithm.
override LOG: bool = false;

fn load_x(start: u32, k: u32) -> vec4<f32> {
    if ALIGNED {
        return vec4<f32>(x[(start + k) / 4u]);
    }
    if CONTIGUOUS {
        let at = row_first(start, k) / 4u;
        return row_four(start, k, vec4<f32>(x[at]), vec4<f32>(x[at + 1u]));
    }
    let i = row_indices(start, k);
    return vec4(
        f32(x[i.x / 4u][i.x % 4u]),
        f32(x[i.y / 4u][i.y % 4u]),
        f32(x[i.z / 4u][i.z % 4u]),
        f32(x[i.w / 4u][i.w % 4u]),
    );
}

// A row has at least one element, and its maximum only has to keep exp from overflowing.
fn row_maximum(start: u32, first: u32, step: u32) -> f32 {
    var m = vec4(-3.402823e38);
    for (var k = first; k < p.n; k += step) {
        m = max(m, load_x(start, k));
    }
    return max(max(m.x, m.y), max(m.z, m.w));
}

fn sum_exp(start: u32, m: f32, first: u32, step: u32) -> f32 {
    var total = vec4(0.0);
    var k = first;
    while k < p.n {
        var block = vec4(0.0);
        let stop = min(k + BLOCK * step, p.n);
        for (; k < stop; k += step) {
            block += row_keep(k, exp(load_x(start, k) - m));
        }
        total += block;
    }
    return (total.x + total.y) + (total.z + total.w);
}

// The maximum and Σ exp(x − maximum) in one pass: what is summed so far is scaled when a larger element comes.
fn maximum_and_sum(start: u32) -> vec2<f32> {
    var m = -3.402823e38;
    var total = vec4(0.0);
    for (var k = 0u; k < p.n; k += 16u) {
        let a = load_within(start, k);
        let b = load_within(start, k + 4u);
        let c = load_within(start, k + 8u);
        let d = load_within(start, k + 12u);
        let four = max(max(a, b), max(c, d));
        let larger = max(m, max(max(four.x, four.y), max(four.z, four.w)));
        total *= exp(m - larger);
        total += keep(k, exp(a - larger)) + keep(k + 4u, exp(b - larger));
        total += keep(k + 8u, exp(c - larger)) + keep(k + 12u, exp(d - larger));
        m = larger;
    }
    return vec2(m, (total.x + total.y) + (total.z + total.w));
}

// The four elements from k on; past the end, the last ones again.
fn load_within(start: u32, k: u32) -> vec4<f32> {
    return load_x(start, select(k, min(k, p.n - 4u), ALIGNED));
}

fn keep(k: u32, value: vec4<f32>) -> vec4<f32> {
    return select(vec4(0.0), value, row_has(k));
}

fn write(start: u32, m: f32, sum: f32, first: u32, step: u32) {
    let logarithm = log(sum);
    for (var k = first; k < p.n; k += step) {
        var value = load_x(start, k) - m;
        if LOG {
            value -= logarithm;
        } else {
            value = exp(value) / sum;
        }
        if ALIGNED {
            store4(start + k, value);
        } else {
            for (var j = 0u; j < min(4u, p.n - k); j++) {
                store(start + (k + j) * p.inner, value[j]);
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
    if row < p.rows {
        let start = row_start(row);
        let found = maximum_and_sum(start);
        write(start, found.x, found.y, 0u, 4u);
    }
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
    // Threads past the last row take no elements but meet the barriers.
    let first = select(p.n, thread % LANES * 4u, row < p.rows);
    let step = 4u * LANES;
    let m = tree(MAX, thread, row_maximum(start, first, step));
    let sum = tree(SUM, thread, sum_exp(start, m, first, step));
    write(start, m, sum, first, step);
}

fn held_x(start: u32, lane: u32, j: u32) -> vec4<f32> {
    return load_x(start, held_from(lane, j));
}

fn hold_x(start: u32, lane: u32, j: u32) -> Eight {
    return Eight(
        held_x(start, lane, j), held_x(start, lane, j + 1u), held_x(start, lane, j + 2u), held_x(start, lane, j + 3u),
        held_x(start, lane, j + 4u), held_x(start, lane, j + 5u), held_x(start, lane, j + 6u), held_x(start, lane, j + 7u));
}

fn eight_exp(x: Eight) -> Eight {
    return Eight(exp(x[0]), exp(x[1]), exp(x[2]), exp(x[3]), exp(x[4]), exp(x[5]), exp(x[6]), exp(x[7]));
}

fn put_y(start: u32, lane: u32, j: u32, y: vec4<f32>) {
    if held_has(lane, j) {
        store4(start + held_at(lane, j), y);
    }
}

fn put_eight(start: u32, lane: u32, j: u32, y: Eight) {
    put_y(start, lane, j, y[0]);
    put_y(start, lane, j + 1u, y[1]);
    put_y(start, lane, j + 2u, y[2]);
    put_y(start, lane, j + 3u, y[3]);
    put_y(start, lane, j + 4u, y[4]);
    put_y(start, lane, j + 5u, y[5]);
    put_y(start, lane, j + 6u, y[6]);
    put_y(start, lane, j + 7u, y[7]);
}

// LANES threads for each row, which keep it.
@compute @workgroup_size(WIDTH)
fn held_rows(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = workgroup_index(group, groups) * (WIDTH / LANES) + thread / LANES;
    let lane = thread % LANES;
    // Threads past the last row compute it again.
    let start = row_start(min(row, p.rows - 1u));
    var x = Held();
    x.a = hold_x(start, lane, 0u);
    if HELD > 8u {
        x.b = hold_x(start, lane, 8u);
    }
    if HELD > 16u {
        x.c = hold_x(start, lane, 16u);
    }
    if HELD > 24u {
        x.d = hold_x(start, lane, 24u);
    }
    let d = held_minus(x, tree(MAX, thread, held_maximum(lane, x)));
    var e = Held();
    e.a = eight_exp(d.a);
    if HELD > 8u {
        e.b = eight_exp(d.b);
    }
    if HELD > 16u {
        e.c = eight_exp(d.c);
    }
    if HELD > 24u {
        e.d = eight_exp(d.d);
    }
    let sum = tree(SUM, thread, held_sum(lane, e));
    var y = held_times(e, 1.0 / sum);
    if LOG {
        y = held_minus(d, log(sum));
    }
    if row < p.rows {
        put_eight(start, lane, 0u, y.a);
        if HELD > 8u {
            put_eight(start, lane, 8u, y.b);
        }
        if HELD > 16u {
            put_eight(start, lane, 16u, y.c);
        }
        if HELD > 24u {
            put_eight(start, lane, 24u, y.d);
        }
    }
}

// logsumexp: y = m + l with l = log Σ exp(x − m), of ∞ and −∞ what they are.

@group(0) @binding(5) var<storage, read_write> row_largest: array<f32>; // m [outer, inner]
@group(0) @binding(6) var<storage, read_write> row_log_sum: array<f32>; // l [outer, inner]

fn finite(m: f32) -> f32 {
    return clamp(m, -3.402823e38, 3.402823e38);
}

@compute @workgroup_size(64)
fn logsumexp_rows(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = workgroup_index(group, groups) * 64u + thread;
    if row < p.rows {
        let start = row_start(row);
        let m = finite(row_maximum(start, 0u, 4u));
        let l = log(sum_exp(start, m, 0u, 4u));
        row_largest[row] = m;
        row_log_sum[row] = l;
        store(row, m + l);
    }
}

@compute @workgroup_size(WIDTH)
fn logsumexp_shared_rows(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = workgroup_index(group, groups) * (WIDTH / LANES) + thread / LANES;
    let start = row_start(row);
    let first = select(p.n, thread % LANES * 4u, row < p.rows);
    let step = 4u * LANES;
    let m = finite(tree(MAX, thread, row_maximum(start, first, step)));
    let sum = tree(SUM, thread, sum_exp(start, m, first, step));
    if row < p.rows && thread % LANES == 0u {
        let l = log(sum);
        row_largest[row] = m;
        row_log_sum[row] = l;
        store(row, m + l);
    }
}

// Backward: dx = y·(dy − Σ dy·y), for the logarithm dx = dy − exp(y)·Σ dy.


@group(0) @binding(1) var<storage, read> result: array<vec4<real>>; // y [outer, n, inner]
@group(0) @binding(2) var<storage, read> dy: array<vec4<real>>; // [outer, n, inner]
@group(0) @binding(4) var<storage, read_write> dx: array<vec4<real>>; // [outer, n, inner]

fn load_y(start: u32, k: u32) -> vec4<f32> {
    if ALIGNED {
        return vec4<f32>(result[(start + k) / 4u]);
    }
    if CONTIGUOUS {
        let at = row_first(start, k) / 4u;
        return row_four(start, k, vec4<f32>(result[at]), vec4<f32>(result[at + 1u]));
    }
    let i = row_indices(start, k);
    return vec4(
        f32(result[i.x / 4u][i.x % 4u]),
        f32(result[i.y / 4u][i.y % 4u]),
        f32(result[i.z / 4u][i.z % 4u]),
        f32(result[i.w / 4u][i.w % 4u]),
    );
}

fn load_dy(start: u32, k: u32) -> vec4<f32> {
    if ALIGNED {
        return vec4<f32>(dy[(start + k) / 4u]);
    }
    if CONTIGUOUS {
        let at = row_first(start, k) / 4u;
        return row_four(start, k, vec4<f32>(dy[at]), vec4<f32>(dy[at + 1u]));
    }
    let i = row_indices(start, k);
    return vec4(
        f32(dy[i.x / 4u][i.x % 4u]),
        f32(dy[i.y / 4u][i.y % 4u]),
        f32(dy[i.z / 4u][i.z % 4u]),
        f32(dy[i.w / 4u][i.w % 4u]),
    );
}

fn sum_dy(start: u32, first: u32, step: u32) -> f32 {
    var total = vec4(0.0);
    var k = first;
    while k < p.n {
        var block = vec4(0.0);
        let stop = min(k + BLOCK * step, p.n);
        for (; k < stop; k += step) {
            var value = load_dy(start, k);
            if !LOG {
                value *= load_y(start, k);
            }
            block += row_keep(k, value);
        }
        total += block;
    }
    return (total.x + total.y) + (total.z + total.w);
}

fn write_dx(start: u32, sum: f32, first: u32, step: u32) {
    for (var k = first; k < p.n; k += step) {
        let y_k = load_y(start, k);
        let dy_k = load_dy(start, k);
        var value = y_k * (dy_k - sum);
        if LOG {
            value = dy_k - exp(y_k) * sum;
        }
        if ALIGNED {
            dx[(start + k) / 4u] = vec4<real>(value);
        } else {
            for (var j = 0u; j < min(4u, p.n - k); j++) {
                let i = start + (k + j) * p.inner;
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
        let start = row_start(row);
        write_dx(start, sum_dy(start, 0u, 4u), 0u, 4u);
    }
}

fn held_y(start: u32, lane: u32, j: u32) -> vec4<f32> {
    return load_y(start, held_from(lane, j));
}

fn hold_y(start: u32, lane: u32, j: u32) -> Eight {
    return Eight(
        held_y(start, lane, j), held_y(start, lane, j + 1u), held_y(start, lane, j + 2u), held_y(start, lane, j + 3u),
        held_y(start, lane, j + 4u), held_y(start, lane, j + 5u), held_y(start, lane, j + 6u), held_y(start, lane, j + 7u));
}

fn held_dy(start: u32, lane: u32, j: u32) -> vec4<f32> {
    return load_dy(start, held_from(lane, j));
}

fn hold_dy(start: u32, lane: u32, j: u32) -> Eight {
    return Eight(
        held_dy(start, lane, j), held_dy(start, lane, j + 1u), held_dy(start, lane, j + 2u), held_dy(start, lane, j + 3u),
        held_dy(start, lane, j + 4u), held_dy(start, lane, j + 5u), held_dy(start, lane, j + 6u), held_dy(start, lane, j + 7u));
}

fn put_dx(start: u32, lane: u32, j: u32, y: vec4<f32>, dy: vec4<f32>, sum: f32) {
    if held_has(lane, j) {
        dx[(start + held_at(lane, j)) / 4u] = vec4<real>(select(y * (dy - sum), dy - exp(y) * sum, LOG));
    }
}

fn put_eight_dx(start: u32, lane: u32, j: u32, y: Eight, dy: Eight, sum: f32) {
    put_dx(start, lane, j, y[0], dy[0], sum);
    put_dx(start, lane, j + 1u, y[1], dy[1], sum);
    put_dx(start, lane, j + 2u, y[2], dy[2], sum);
    put_dx(start, lane, j + 3u, y[3], dy[3], sum);
    put_dx(start, lane, j + 4u, y[4], dy[4], sum);
    put_dx(start, lane, j + 5u, y[5], dy[5], sum);
    put_dx(start, lane, j + 6u, y[6], dy[6], sum);
    put_dx(start, lane, j + 7u, y[7], dy[7], sum);
}

@compute @workgroup_size(WIDTH)
fn backward_held_rows(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = workgroup_index(group, groups) * (WIDTH / LANES) + thread / LANES;
    let lane = thread % LANES;
    let start = row_start(min(row, p.rows - 1u));
    var y = Held();
    var dy = Held();
    y.a = hold_y(start, lane, 0u);
    dy.a = hold_dy(start, lane, 0u);
    if HELD > 8u {
        y.b = hold_y(start, lane, 8u);
        dy.b = hold_dy(start, lane, 8u);
    }
    if HELD > 16u {
        y.c = hold_y(start, lane, 16u);
        dy.c = hold_dy(start, lane, 16u);
    }
    if HELD > 24u {
        y.d = hold_y(start, lane, 24u);
        dy.d = hold_dy(start, lane, 24u);
    }
    var part = 0.0;
    if LOG {
        part = held_sum(lane, dy);
    } else {
        part = held_sum(lane, held_product(y, dy));
    }
    let sum = tree(SUM, thread, part);
    if row < p.rows {
        put_eight_dx(start, lane, 0u, y.a, dy.a, sum);
        if HELD > 8u {
            put_eight_dx(start, lane, 8u, y.b, dy.b, sum);
        }
        if HELD > 16u {
            put_eight_dx(start, lane, 16u, y.c, dy.c, sum);
        }
        if HELD > 24u {
            put_eight_dx(start, lane, 24u, y.d, dy.d, sum);
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
    let start = row_start(row);
    let first = select(p.n, thread % LANES * 4u, row < p.rows);
    let step = 4u * LANES;
    let sum = tree(SUM, thread, sum_dy(start, first, step));
    write_dx(start, sum, first, step);
}
