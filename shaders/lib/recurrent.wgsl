// What forward and backward of recurrent networks share: sizes, and the product with a matrix whose
// other factor lies in workgroup memory, for four sequences at a time: those of a vector's components.

struct RecurrentSizes {
    sequences: u32,
    steps: u32,
    width: u32,
    // The rows of what is multiplied in each step, and how many of it lie in a packed row.
    depth: u32,
    columns: u32,
    // The steps of this dispatch, in the order of the direction.
    begin: u32,
    end: u32,
    // 1 to go from the last step to the first.
    reverse: u32,
    // A sequence's step is the row sequence·by_sequence + time·by_time of what has a row for each.
    by_sequence: u32,
    by_time: u32,
    // Which of the optional arguments there are; for those missing another buffer is bound.
    has_lengths: u32,
    has_initial: u32,
    has_bias: u32,
    has_dy: u32,
    has_dstate: u32,
    saves: u32,
    // The sequences of this dispatch, and how many rows lie before those that are bound.
    first_sequence: u32,
    last_sequence: u32,
    skipped: u32,
}

@group(0) @binding(1) var<storage, read> weight: array<vec4<real>>; // packed [⌈depth/4⌉, columns], or [columns, depth/4]
@group(0) @binding(4) var<storage, read> lengths: array<u32>; // [sequences]
@group(0) @binding(15) var<uniform> p: RecurrentSizes;

// The kind of cell, as in `src/ops/recurrent/mod.rs`.
override CELL: u32 = 0u;
const TANH = 0u;
const RELU = 1u;
const LSTM = 2u;
const GRU = 3u;

override THREADS: u32 = 64u;
// Units of a thread, THREADS apart, and the columns of the matrix that belong to each, `width` apart:
// at most eight in all.
override UNITS: u32 = 1u;
override GATES: u32 = 1u;
override PACKED: bool = true;

// Sets of four sequences of a workgroup: 1 or 2.
override SETS: u32 = 1u;

// What the matrix is multiplied with, an element of four sequences each: one set behind the other.
override SPACE: u32 = 64u;
var<workgroup> shared_rows: array<vec4<f32>, SPACE>;

// The room of each set.
fn space() -> u32 {
    return SPACE / SETS;
}

// The sums of a thread's columns, eight for each set.
alias Sums = array<vec4<f32>, 16>;

fn load_weight(column: u32, k: u32) -> vec4<f32> {
    if PACKED {
        return vec4<f32>(weight[k * p.columns + column]);
    }
    return vec4<f32>(weight[column * (p.depth / 4u) + k]);
}

// The column of the i-th sum of the thread whose first unit is `unit`: of some unit where there is none.
fn column_of(unit: u32, i: u32) -> u32 {
    return i % GATES * p.width + min(unit + i / GATES * THREADS, p.width - 1u);
}

// Adds the products of four elements of the matrix' column i with four rows of each set.
fn add_product(sums: ptr<function, Sums>, i: u32, w: vec4<f32>, first: mat4x4<f32>, second: mat4x4<f32>) {
    (*sums)[i] += first * w;
    if SETS > 1u {
        (*sums)[i + 8u] += second * w;
    }
}

// Adds the products of all columns of a thread with four rows for each k from `begin` to `end`; the
// first lies at `at` of each set's memory.
fn add_products(sums: ptr<function, Sums>, unit: u32, begin: u32, end: u32, at: u32) {
    let c0 = column_of(unit, 0u);
    let c1 = column_of(unit, 1u);
    let c2 = column_of(unit, 2u);
    let c3 = column_of(unit, 3u);
    let c4 = column_of(unit, 4u);
    let c5 = column_of(unit, 5u);
    let c6 = column_of(unit, 6u);
    let c7 = column_of(unit, 7u);
    let count = UNITS * GATES;
    let lane = recurrent_lane();
    for (var k = begin; k < end; k++) {
        let rows = recurrent_rows(at + 4u * (k - begin), lane);
        add_product(sums, 0u, load_weight(c0, k), rows.first, rows.second);
        if count > 1u {
            add_product(sums, 1u, load_weight(c1, k), rows.first, rows.second);
        }
        if count > 2u {
            add_product(sums, 2u, load_weight(c2, k), rows.first, rows.second);
        }
        if count > 3u {
            add_product(sums, 3u, load_weight(c3, k), rows.first, rows.second);
        }
        if count > 4u {
            add_product(sums, 4u, load_weight(c4, k), rows.first, rows.second);
        }
        if count > 5u {
            add_product(sums, 5u, load_weight(c5, k), rows.first, rows.second);
        }
        if count > 6u {
            add_product(sums, 6u, load_weight(c6, k), rows.first, rows.second);
        }
        if count > 7u {
            add_product(sums, 7u, load_weight(c7, k), rows.first, rows.second);
        }
    }
}

// Four rows of each set of sequences.
struct Rows {
    first: mat4x4<f32>,
    second: mat4x4<f32>,
}

// How many of the four sequences from `first` on there are.
fn sequences_from(first: u32) -> u32 {
    return min(4u, p.last_sequence - min(first, p.last_sequence));
}

// The time of a step in the order of the direction.
fn time_of(step: u32) -> u32 {
    return select(step, p.steps - 1u - step, p.reverse == 1u);
}

// Where a sequence lies at a time in what has a row for each.
fn row_of(sequence: u32, time: u32) -> u32 {
    return sequence * p.by_sequence + time * p.by_time - p.skipped;
}

// Whether a sequence is that long.
fn is_inside(sequence: u32, time: u32) -> bool {
    var length = p.steps;
    if p.has_lengths == 1u {
        length = lengths[sequence];
    }
    return time < length;
}
