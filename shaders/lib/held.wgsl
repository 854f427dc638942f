// Rows of whole vectors that the LANES threads of a row keep in registers: every element is read once, and no read waits
// for another. Written out, as loops are not unrolled everywhere.

// Vectors of a thread, at most 32.
override HELD: u32 = 8u;
// Whether every thread has so many.
override FULL: bool = false;

alias Eight = array<vec4<f32>, 8>;

struct Held {
    a: Eight,
    b: Eight,
    c: Eight,
    d: Eight,
}

// The first element of vector j of a thread, and whether the row has it.
fn held_at(lane: u32, j: u32) -> u32 {
    return 4u * (lane + j * LANES);
}

fn held_has(lane: u32, j: u32) -> bool {
    return j < HELD && (FULL || held_at(lane, j) < p.n);
}

// Where a thread reads vector j: past the end, the last one again.
fn held_from(lane: u32, j: u32) -> u32 {
    return select(min(held_at(lane, j), p.n - 4u), held_at(lane, j), FULL);
}

fn held_or(lane: u32, j: u32, value: vec4<f32>, other: f32) -> vec4<f32> {
    return select(vec4(other), value, held_has(lane, j));
}

// Those of eight from vector j on that are there, and in place of the rest another number.
fn eight_only(lane: u32, j: u32, x: Eight, other: f32) -> Eight {
    return Eight(
        held_or(lane, j, x[0], other), held_or(lane, j + 1u, x[1], other),
        held_or(lane, j + 2u, x[2], other), held_or(lane, j + 3u, x[3], other),
        held_or(lane, j + 4u, x[4], other), held_or(lane, j + 5u, x[5], other),
        held_or(lane, j + 6u, x[6], other), held_or(lane, j + 7u, x[7], other));
}

fn eight_sum(lane: u32, j: u32, x: Eight) -> vec4<f32> {
    let y = eight_only(lane, j, x, 0.0);
    return ((y[0] + y[1]) + (y[2] + y[3])) + ((y[4] + y[5]) + (y[6] + y[7]));
}

fn eight_maximum(lane: u32, j: u32, x: Eight) -> vec4<f32> {
    let y = eight_only(lane, j, x, -3.402823e38);
    return max(max(max(y[0], y[1]), max(y[2], y[3])), max(max(y[4], y[5]), max(y[6], y[7])));
}

fn eight_product(x: Eight, y: Eight) -> Eight {
    return Eight(x[0] * y[0], x[1] * y[1], x[2] * y[2], x[3] * y[3], x[4] * y[4], x[5] * y[5], x[6] * y[6], x[7] * y[7]);
}

fn eight_minus(x: Eight, y: f32) -> Eight {
    return Eight(x[0] - y, x[1] - y, x[2] - y, x[3] - y, x[4] - y, x[5] - y, x[6] - y, x[7] - y);
}

fn eight_times(x: Eight, y: f32) -> Eight {
    return Eight(x[0] * y, x[1] * y, x[2] * y, x[3] * y, x[4] * y, x[5] * y, x[6] * y, x[7] * y);
}

fn held_sum(lane: u32, x: Held) -> f32 {
    var all = eight_sum(lane, 0u, x.a);
    if HELD > 8u {
        all = all + eight_sum(lane, 8u, x.b);
    }
    if HELD > 16u {
        all = all + eight_sum(lane, 16u, x.c);
    }
    if HELD > 24u {
        all = all + eight_sum(lane, 24u, x.d);
    }
    return (all.x + all.y) + (all.z + all.w);
}

fn held_maximum(lane: u32, x: Held) -> f32 {
    var all = eight_maximum(lane, 0u, x.a);
    if HELD > 8u {
        all = max(all, eight_maximum(lane, 8u, x.b));
    }
    if HELD > 16u {
        all = max(all, eight_maximum(lane, 16u, x.c));
    }
    if HELD > 24u {
        all = max(all, eight_maximum(lane, 24u, x.d));
    }
    return max(max(all.x, all.y), max(all.z, all.w));
}

fn held_product(x: Held, y: Held) -> Held {
    var z = Held();
    z.a = eight_product(x.a, y.a);
    if HELD > 8u {
        z.b = eight_product(x.b, y.b);
    }
    if HELD > 16u {
        z.c = eight_product(x.c, y.c);
    }
    if HELD > 24u {
        z.d = eight_product(x.d, y.d);
    }
    return z;
}

fn held_minus(x: Held, y: f32) -> Held {
    var z = Held();
    z.a = eight_minus(x.a, y);
    if HELD > 8u {
        z.b = eight_minus(x.b, y);
    }
    if HELD > 16u {
        z.c = eight_minus(x.c, y);
    }
    if HELD > 24u {
        z.d = eight_minus(x.d, y);
    }
    return z;
}

fn held_times(x: Held, y: f32) -> Held {
    var z = Held();
    z.a = eight_times(x.a, y);
    if HELD > 8u {
        z.b = eight_times(x.b, y);
    }
    if HELD > 16u {
        z.c = eight_times(x.c, y);
    }
    if HELD > 24u {
        z.d = eight_times(x.d, y);
    }
    return z;
}
