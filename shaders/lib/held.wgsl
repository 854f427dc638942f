// Rows of whole vectors that the LANES threads of a row keep in registers: every element is read once, and no read waits
// for another. Written out, as loops are not unrolled everywhere.

// Vectors of a thread, at most eight.
override HELD: u32 = 8u;

alias Held = array<vec4<f32>, 8>;

// The first element of vector j of a thread, and whether the row has it.
fn held_at(lane: u32, j: u32) -> u32 {
    return 4u * (lane + j * LANES);
}

fn held_has(lane: u32, j: u32) -> bool {
    return j < HELD && held_at(lane, j) < p.n;
}

fn held_or(lane: u32, j: u32, value: vec4<f32>, other: f32) -> vec4<f32> {
    return select(vec4(other), value, held_has(lane, j));
}

// Those of a row that are there, and in place of the rest another number.
fn held_only(lane: u32, x: Held, other: f32) -> Held {
    return Held(
        held_or(lane, 0u, x[0], other), held_or(lane, 1u, x[1], other),
        held_or(lane, 2u, x[2], other), held_or(lane, 3u, x[3], other),
        held_or(lane, 4u, x[4], other), held_or(lane, 5u, x[5], other),
        held_or(lane, 6u, x[6], other), held_or(lane, 7u, x[7], other));
}

fn held_sum(lane: u32, x: Held) -> f32 {
    let y = held_only(lane, x, 0.0);
    let sum = ((y[0] + y[1]) + (y[2] + y[3])) + ((y[4] + y[5]) + (y[6] + y[7]));
    return (sum.x + sum.y) + (sum.z + sum.w);
}

fn held_maximum(lane: u32, x: Held) -> f32 {
    let y = held_only(lane, x, -3.402823e38);
    let m = max(max(max(y[0], y[1]), max(y[2], y[3])), max(max(y[4], y[5]), max(y[6], y[7])));
    return max(max(m.x, m.y), max(m.z, m.w));
}

fn held_product(x: Held, y: Held) -> Held {
    return Held(x[0] * y[0], x[1] * y[1], x[2] * y[2], x[3] * y[3], x[4] * y[4], x[5] * y[5], x[6] * y[6], x[7] * y[7]);
}

fn held_minus(x: Held, y: f32) -> Held {
    return Held(x[0] - y, x[1] - y, x[2] - y, x[3] - y, x[4] - y, x[5] - y, x[6] - y, x[7] - y);
}

fn held_times(x: Held, y: f32) -> Held {
    return Held(x[0] * y, x[1] * y, x[2] * y, x[3] * y, x[4] * y, x[5] * y, x[6] * y, x[7] * y);
}
