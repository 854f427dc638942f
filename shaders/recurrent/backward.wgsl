// dh[t−1] = Wᵀ·dq[t] + pass(dh[t]) from the last step of a direction to its first, with dq the gradient of
// q = W·h[t−1] and dx that of what is added to it; dh[t] = dy[t] + what comes from step t + 1.
// SimpleRNN: dq = dh⊙(1 − h²), or dh where h > 0
// LSTM: do = dh⊙tanh c, dc += dh⊙o⊙(1 − tanh² c), di = dc⊙g, df = dc⊙c[t−1], dg = dc⊙i, dc[t−1] = dc⊙f,
// and dq of each gate is that times the slope of its function
// GRU: dz = dh⊙(h[t−1] − n), dn = dh⊙(1 − z), pass = dh⊙z, dqₙ = r⊙dxₙ, dr = dxₙ⊙qₙ
//#import recurrent
//#import index
//#import tanh

@group(0) @binding(0) var<storage, read> saved: array<real>; // [rows, 5, width]; SimpleRNN: h [rows, width]
@group(0) @binding(2) var<storage, read> dy: array<real>; // [rows, width]
@group(0) @binding(3) var<storage, read> dstate: array<f32>; // of the last h and c: [1 or 2, sequences, width]
@group(0) @binding(5) var<storage, read_write> dx: array<real>; // [rows, gates·width]
@group(0) @binding(6) var<storage, read_write> dq: array<real>; // GRU: [rows, gates·width]; else the same as dx
@group(0) @binding(7) var<storage, read_write> state: array<f32>; // dh and dc: [1 or 2, sequences, width]

fn h_index(sequence: u32, unit: u32) -> u32 {
    return sequence * p.width + unit;
}

fn c_index(sequence: u32, unit: u32) -> u32 {
    return (p.sequences + sequence) * p.width + unit;
}

fn start_at(i: u32) {
    var d = 0.0;
    if p.has_dstate == 1u {
        d = dstate[i];
    }
    state[i] = d;
}

// The time of a step of this direction backwards.
fn time_back(s: u32) -> u32 {
    return time_of(p.steps - 1u - s);
}

fn load_saved(row: u32, unit: u32, i: u32) -> f32 {
    return f32(saved[(row * 5u + i) * p.width + unit]);
}

// dq of a unit of one sequence; stores it with dx, and in `state` what goes to the step before directly.
fn gate_grads(sequence: u32, unit: u32, time: u32) -> vec4<f32> {
    let row = row_of(sequence, time);
    var to_x = vec4<f32>();
    var to_q = vec4<f32>();
    if is_inside(sequence, time) {
        var dh = state[h_index(sequence, unit)];
        if p.has_dy == 1u {
            dh += f32(dy[row * p.width + unit]);
        }
        var pass_on = 0.0;
        if CELL == LSTM {
            let i = load_saved(row, unit, 0u);
            let f = load_saved(row, unit, 1u);
            let g = load_saved(row, unit, 2u);
            let o = load_saved(row, unit, 3u);
            let c = load_saved(row, unit, 4u);
            let t = tanh_safe(f * c + i * g);
            let dc = state[c_index(sequence, unit)] + dh * o * (1.0 - t * t);
            state[c_index(sequence, unit)] = dc * f;
            to_x = vec4(dc * g * i * (1.0 - i), dc * c * f * (1.0 - f), dc * i * (1.0 - g * g), dh * t * o * (1.0 - o));
            to_q = to_x;
        } else if CELL == GRU {
            let r = load_saved(row, unit, 0u);
            let z = load_saved(row, unit, 1u);
            let n = load_saved(row, unit, 2u);
            let q = load_saved(row, unit, 3u);
            let h = load_saved(row, unit, 4u);
            let dn = dh * (1.0 - z) * (1.0 - n * n);
            to_x = vec4(dn * q * r * (1.0 - r), dh * (h - n) * z * (1.0 - z), dn, 0.0);
            to_q = vec4(to_x.xy, dn * r, 0.0);
            pass_on = dh * z;
        } else {
            let h = f32(saved[row * p.width + unit]);
            if CELL == TANH {
                to_x.x = dh * (1.0 - h * h);
            } else {
                to_x.x = select(dh, 0.0, h <= 0.0);
            }
            to_q = to_x;
        }
        state[h_index(sequence, unit)] = pass_on;
    }
    let at = row * p.depth + unit;
    dx[at] = real(to_x.x);
    if CELL == LSTM || CELL == GRU {
        dx[at + p.width] = real(to_x.y);
        dx[at + 2u * p.width] = real(to_x.z);
    }
    if CELL == LSTM {
        dx[at + 3u * p.width] = real(to_x.w);
    }
    if CELL == GRU {
        dq[at] = real(to_q.x);
        dq[at + p.width] = real(to_q.y);
        dq[at + 2u * p.width] = real(to_q.z);
    }
    return to_q;
}

// dq of element k of all gates as the step before has stored it, zero past the last.
fn load_dq(sequence: u32, k: u32, time: u32) -> f32 {
    if k >= p.depth || sequence >= p.last_sequence {
        return 0.0;
    }
    let i = row_of(sequence, time) * p.depth + k;
    if CELL == GRU {
        return f32(dq[i]);
    }
    return f32(dx[i]);
}

// The same of all sequences of the workgroup, from element `part` on.
fn share_dq(first: u32, part: u32, time: u32, thread: u32) {
    for (var i = thread; i < SPACE; i += THREADS) {
        let k = part + i % space();
        let sequence = first + i / space() * 4u;
        shared_rows[i] = vec4(
            load_dq(sequence, k, time),
            load_dq(sequence + 1u, k, time),
            load_dq(sequence + 2u, k, time),
            load_dq(sequence + 3u, k, time),
        );
    }
}

fn start_rows(first: u32, unit: u32) {
    for (var sequence = first; sequence < min(first + 4u * SETS, p.last_sequence); sequence++) {
        start_at(h_index(sequence, unit));
        if CELL == LSTM {
            start_at(c_index(sequence, unit));
        }
    }
}

// Adds the sums of a thread's units to dh.
fn add_to_state(first: u32, start: u32, sums: ptr<function, Sums>) {
    for (var i = 0u; i < UNITS * SETS; i++) {
        let unit = start + i / SETS * THREADS;
        let quad = i % SETS;
        if unit < p.width {
            for (var j = 0u; j < sequences_from(first + 4u * quad); j++) {
                state[h_index(first + 4u * quad + j, unit)] += (*sums)[quad * 8u + i / SETS][j];
            }
        }
    }
}

// Adds Wᵀ·dq to dh for all units of a thread, from all of dq in workgroup memory.
fn add_all_products(first: u32, thread: u32) {
    for (var block = 0u; block < p.width; block += THREADS * UNITS) {
        var sums: Sums;
        add_products(&sums, block + thread, 0u, (p.depth + 3u) / 4u, 0u);
        var results = sums;
        add_to_state(first, block + thread, &results);
    }
}

// Many steps, and all units of some sequences in each workgroup: dq goes from step to step in workgroup memory.
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
    if p.begin == 0u {
        for (var unit = thread; unit < p.width; unit += THREADS) {
            start_rows(first, unit);
        }
    } else {
        share_dq(first, 0u, time_back(p.begin - 1u), thread);
    }
    workgroupBarrier();
    for (var s = p.begin; s < p.end + u32(p.end == p.steps && p.steps > 0u); s++) {
        if s > 0u {
            add_all_products(first, thread);
        }
        workgroupBarrier();
        if s < p.steps {
            for (var unit = thread; unit < p.width; unit += THREADS) {
                for (var quad = 0u; quad < SETS; quad++) {
                    var rows: mat4x4<f32>;
                    for (var i = 0u; i < sequences_from(first + 4u * quad); i++) {
                        rows[i] = gate_grads(first + 4u * quad + i, unit, time_back(s));
                    }
                    let gates = transpose(rows);
                    shared_rows[quad * space() + unit] = gates[0];
                    if CELL == LSTM || CELL == GRU {
                        shared_rows[quad * space() + p.width + unit] = gates[1];
                        shared_rows[quad * space() + 2u * p.width + unit] = gates[2];
                    }
                    if CELL == LSTM {
                        shared_rows[quad * space() + 3u * p.width + unit] = gates[3];
                    }
                }
            }
        }
        workgroupBarrier();
    }
}

// One step, and some of the units of some sequences in each workgroup: Wᵀ·dq of the step before, whose dq
// comes in parts from where it was stored, then this step's; behind the last step only the first.
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
    if p.begin == 0u {
        for (var unit = start; unit < min(p.width, start + THREADS * UNITS); unit += THREADS) {
            start_rows(first, unit);
        }
    } else {
        var sums: Sums;
        for (var part = 0u; part < p.depth; part += space()) {
            share_dq(first, part, time_back(p.begin - 1u), thread);
            workgroupBarrier();
            add_products(&sums, start, part / 4u, (min(part + space(), p.depth) + 3u) / 4u, 0u);
            workgroupBarrier();
        }
        var results = sums;
        add_to_state(first, start, &results);
    }
    if p.begin < p.steps {
        for (var unit = start; unit < min(p.width, start + THREADS * UNITS); unit += THREADS) {
            for (var sequence = first; sequence < min(first + 4u * SETS, p.last_sequence); sequence++) {
                gate_grads(sequence, unit, time_back(p.begin));
            }
        }
    }
}
