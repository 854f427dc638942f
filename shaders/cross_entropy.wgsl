// loss = −Σ q_k · log p_k with p = softmax(x) and q = (1 − s)·[k = target] + s/n, for each row of n classes.
// With m = max x and l = log Σ exp(x − m), −log p_k = (m − x_k) + l.
//#import index
//#import rows
//#import tree

struct Params {
    rows: u32,
    n: u32,
    inner: u32,
    // Whether there is a target of rows that do not count, and which.
    ignores: u32,
    ignored: u32,
    // s, the label smoothing.
    smoothing: f32,
    // Threads for each row in the backward pass.
    lanes: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<real>>; // logits [outer, n, inner]
@group(0) @binding(1) var<storage, read> label: array<u32>; // target [outer, inner]
@group(0) @binding(4) var<storage, read_write> loss: array<f32>; // [outer, inner]
@group(0) @binding(5) var<storage, read_write> lse: array<vec2<f32>>; // m and l [outer, inner]
@group(0) @binding(6) var<storage, read_write> counted: array<f32>; // 1 where the row counts [outer, inner]
@group(0) @binding(15) var<uniform> p: Params;

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

// Σ (m − x)
fn sum_below(start: u32, m: f32, first: u32, step: u32) -> f32 {
    var total = vec4(0.0);
    var k = first;
    while k < p.n {
        var block = vec4(0.0);
        let stop = min(k + BLOCK * step, p.n);
        for (; k < stop; k += step) {
            block += row_keep(k, m - load_x(start, k));
        }
        total += block;
    }
    return (total.x + total.y) + (total.z + total.w);
}

// A number that is no number: there is no constant for it.
fn not_a_number() -> f32 {
    return bitcast<f32>(0x7fc00000u | (p.rows & 1u));
}

fn counts(t: u32) -> bool {
    return p.ignores == 0u || t != p.ignored;
}

fn write(row: u32, m: f32, sum: f32, below: f32) {
    let t = label[row];
    let l = log(sum);
    var value = 0.0;
    if counts(t) {
        if t < p.n {
            let i = row_start(row) + t * p.inner;
            value = (1.0 - p.smoothing) * (m - f32(x[i / 4u][i % 4u]) + l);
            if p.smoothing > 0.0 {
                value += p.smoothing * (below / f32(p.n) + l);
            }
        } else {
            value = not_a_number();
        }
    }
    loss[row] = value;
    lse[row] = vec2(m, l);
    counted[row] = select(0.0, 1.0, counts(t));
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
    let m = row_maximum(start, 0u, 4u);
    let sum = sum_exp(start, m, 0u, 4u);
    var below = 0.0;
    if p.smoothing > 0.0 {
        below = sum_below(start, m, 0u, 4u);
    }
    write(row, m, sum, below);
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
    var below = 0.0;
    if p.smoothing > 0.0 {
        below = tree(SUM, thread, sum_below(start, m, first, step));
    }
    if row < p.rows && thread % LANES == 0u {
        write(row, m, sum, below);
    }
}

// Backward: dx = (p − q)·dloss, zero in rows that do not count.

@group(0) @binding(2) var<storage, read> lse_saved: array<vec2<f32>>; // m and l [outer, inner]
@group(0) @binding(3) var<storage, read> dloss: array<f32>; // [outer, inner]
@group(0) @binding(7) var<storage, read_write> dx: array<vec4<real>>; // [outer, n, inner]

// `lanes` threads for each row, taking turns by fours.
@compute @workgroup_size(64)
fn backward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let number = workgroup_index(group, groups) * 64u + thread;
    let row = number / p.lanes;
    if row >= p.rows {
        return;
    }
    let start = row_start(row);
    let t = label[row];
    var scale = dloss[row];
    if t >= p.n {
        scale = not_a_number();
    }
    let saved = lse_saved[row];
    for (var k = number % p.lanes * 4u; k < p.n; k += 4u * p.lanes) {
        let is_target = vec4<f32>(vec4(t) == k + vec4(0u, 1u, 2u, 3u));
        let q = (1.0 - p.smoothing) * is_target + p.smoothing / f32(p.n);
        var value = (exp(load_x(start, k) - saved.x - saved.y) - q) * scale;
        value = select(vec4(0.0), value, counts(t));
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
