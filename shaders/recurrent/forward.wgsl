// h[t] = f(x[t], W·h[t−1]) with x = W_ih·input + b_ih, and as f
// SimpleRNN: tanh(x + W·h) or max(0, x + W·h)
// LSTM: c[t] = f⊙c[t−1] + i⊙g, h[t] = o⊙tanh c[t] with i, f, o = σ and g = tanh of x + W·h
// GRU: h[t] = (1 − z)⊙n + z⊙h[t−1] with r, z = σ(x + W·h + b) and n = tanh(x + r⊙(W·h + b))
// Past the end of a sequence its output is 0 and its state stays.
//#import recurrent
//#import index
//#import sigmoid
//#import tanh

@group(0) @binding(0) var<storage, read> x: array<real>; // [rows, gates·width]
@group(0) @binding(2) var<storage, read> h0: array<real>; // [sequences, width]
@group(0) @binding(3) var<storage, read> extra: array<real>; // LSTM: c₀ [sequences, width]; GRU: b [3·width]
@group(0) @binding(5) var<storage, read_write> y: array<real>; // h: [rows, width]
@group(0) @binding(6) var<storage, read_write> state: array<f32>; // last h and c: [1 or 2, sequences, width]
// What backward needs: LSTM i, f, g, o and c[t−1]; GRU r, z, n, (W·h + b)ₙ and h[t−1].
@group(0) @binding(7) var<storage, read_write> saved: array<real>; // [rows, 5, width]

fn initial_h(sequence: u32, unit: u32) -> f32 {
    if p.has_initial == 1u {
        return f32(h0[sequence * p.width + unit]);
    }
    return 0.0;
}

fn h_index(sequence: u32, unit: u32) -> u32 {
    return sequence * p.width + unit;
}

fn c_index(sequence: u32, unit: u32) -> u32 {
    return (p.sequences + sequence) * p.width + unit;
}

fn set_initial_c(sequence: u32, unit: u32) {
    if CELL == LSTM {
        var c = 0.0;
        if p.has_initial == 1u {
            c = f32(extra[sequence * p.width + unit]);
        }
        state[c_index(sequence, unit)] = c;
    }
}

// Element i of the vectors that backward needs.
fn save(row: u32, unit: u32, i: u32, value: f32) {
    if p.saves == 1u {
        saved[(row * 5u + i) * p.width + unit] = real(value);
    }
}

// The new h of one sequence from the old one and its products with the unit's columns.
fn next_h(sequence: u32, unit: u32, time: u32, h: f32, products: vec4<f32>) -> f32 {
    let row = row_of(sequence, time);
    if !is_inside(sequence, time) {
        y[row * p.width + unit] = real(0.0);
        return h;
    }
    let at = row * (GATES * p.width) + unit;
    var new_h: f32;
    if CELL == LSTM {
        let i = sigmoid(products.x + f32(x[at]));
        let f = sigmoid(products.y + f32(x[at + p.width]));
        let g = tanh_safe(products.z + f32(x[at + 2u * p.width]));
        let o = sigmoid(products.w + f32(x[at + 3u * p.width]));
        let c = state[c_index(sequence, unit)];
        let new_c = f * c + i * g;
        state[c_index(sequence, unit)] = new_c;
        new_h = o * tanh_safe(new_c);
        save(row, unit, 0u, i);
        save(row, unit, 1u, f);
        save(row, unit, 2u, g);
        save(row, unit, 3u, o);
        save(row, unit, 4u, c);
    } else if CELL == GRU {
        var q = products.xyz;
        if p.has_bias == 1u {
            q += vec3(f32(extra[unit]), f32(extra[unit + p.width]), f32(extra[unit + 2u * p.width]));
        }
        let r = sigmoid(q.x + f32(x[at]));
        let z = sigmoid(q.y + f32(x[at + p.width]));
        let n = tanh_safe(f32(x[at + 2u * p.width]) + r * q.z);
        new_h = n + z * (h - n);
        save(row, unit, 0u, r);
        save(row, unit, 1u, z);
        save(row, unit, 2u, n);
        save(row, unit, 3u, q.z);
        save(row, unit, 4u, h);
    } else {
        let a = products.x + f32(x[at]);
        if CELL == TANH {
            new_h = tanh_safe(a);
        } else {
            new_h = keep_nan(a, max(a, 0.0));
        }
    }
    y[row * p.width + unit] = real(new_h);
    return new_h;
}

// The same for four sequences, from the sums of a thread's j-th unit.
fn next_rows(first: u32, unit: u32, time: u32, old: vec4<f32>, sums: ptr<function, Sums>, at: u32) -> vec4<f32> {
    var h = old;
    for (var i = 0u; i < sequences_from(first); i++) {
        let a = (*sums)[at][i];
        let b = (*sums)[at + min(1u, GATES - 1u)][i];
        let c = (*sums)[at + min(2u, GATES - 1u)][i];
        let d = (*sums)[at + min(3u, GATES - 1u)][i];
        h[i] = next_h(first + i, unit, time, h[i], vec4(a, b, c, d));
    }
    return h;
}

// h of four sequences as it is before this dispatch.
fn present_rows(first: u32, unit: u32) -> vec4<f32> {
    var h = vec4<f32>();
    for (var i = 0u; i < sequences_from(first); i++) {
        if p.begin == 0u {
            h[i] = initial_h(first + i, unit);
            set_initial_c(first + i, unit);
        } else {
            h[i] = state[h_index(first + i, unit)];
        }
    }
    return h;
}

fn keep_rows(first: u32, unit: u32, h: vec4<f32>) {
    for (var i = 0u; i < sequences_from(first); i++) {
        state[h_index(first + i, unit)] = h[i];
    }
}

// Many steps, and all units of some sequences in each workgroup: h goes from step to step in workgroup
// memory, which holds the old one and the new one.
@compute @workgroup_size(THREADS)
fn all_steps(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = p.first_sequence + workgroup_index(group, groups) * (4u * SETS);
    if first >= p.last_sequence {
        return;
    }
    for (var unit = thread; unit < p.width; unit += THREADS) {
        for (var quad = 0u; quad < SETS; quad++) {
            shared_rows[quad * space() + unit] = present_rows(first + 4u * quad, unit);
        }
    }
    workgroupBarrier();
    var old = 0u;
    for (var s = p.begin; s < p.end; s++) {
        let time = time_of(s);
        let other = space() / 2u - old;
        for (var block = 0u; block < p.width; block += THREADS * UNITS) {
            var sums: Sums;
            add_products(&sums, block + thread, 0u, (p.width + 3u) / 4u, old);
            var results = sums;
            for (var i = 0u; i < UNITS * SETS; i++) {
                let unit = block + thread + i / SETS * THREADS;
                let quad = i % SETS;
                if unit < p.width {
                    let h = shared_rows[quad * space() + old + unit];
                    let at = quad * 8u + i / SETS * GATES;
                    shared_rows[quad * space() + other + unit] = next_rows(first + 4u * quad, unit, time, h, &results, at);
                }
            }
        }
        workgroupBarrier();
        old = other;
    }
    for (var unit = thread; unit < p.width; unit += THREADS) {
        for (var quad = 0u; quad < SETS; quad++) {
            keep_rows(first + 4u * quad, unit, shared_rows[quad * space() + old + unit]);
        }
    }
}

// h[t−1], zero past the last unit.
fn previous_h(sequence: u32, unit: u32, time: u32) -> f32 {
    if unit >= p.width || sequence >= p.last_sequence {
        return 0.0;
    }
    let before = select(time - 1u, time + 1u, p.reverse == 1u);
    if p.begin == 0u || !is_inside(sequence, before) {
        return initial_h(sequence, unit);
    }
    return f32(y[row_of(sequence, before) * p.width + unit]);
}

// One step, and some of the units of some sequences in each workgroup: h[t−1] comes in parts from
// where the step before has stored it.
@compute @workgroup_size(THREADS)
fn one_step(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let number = workgroup_index(group, groups);
    let across = (p.width + THREADS * UNITS - 1u) / (THREADS * UNITS);
    let first = p.first_sequence + number / across * (4u * SETS);
    if first >= p.last_sequence {
        return;
    }
    let start = number % across * (THREADS * UNITS) + thread;
    let time = time_of(p.begin);
    var sums: Sums;
    for (var part = 0u; part < p.width; part += space()) {
        for (var i = thread; i < SPACE; i += THREADS) {
            let unit = part + i % space();
            let sequence = first + i / space() * 4u;
            shared_rows[i] = vec4(
                previous_h(sequence, unit, time),
                previous_h(sequence + 1u, unit, time),
                previous_h(sequence + 2u, unit, time),
                previous_h(sequence + 3u, unit, time),
            );
        }
        workgroupBarrier();
        add_products(&sums, start, part / 4u, (min(part + space(), p.width) + 3u) / 4u, 0u);
        workgroupBarrier();
    }
    var results = sums;
    for (var i = 0u; i < UNITS * SETS; i++) {
        let unit = start + i / SETS * THREADS;
        let four = first + i % SETS * 4u;
        if unit < p.width {
            let at = i % SETS * 8u + i / SETS * GATES;
            keep_rows(four, unit, next_rows(four, unit, time, present_rows(four, unit), &results, at));
        }
    }
}
