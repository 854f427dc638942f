// Tiles of attention, 32 rows and 64 columns, by cooperative matrices: the threads of a subgroup hold a square of each
// factor and of the sums together. The file that imports this says how large the squares are and computes a tile from
// what is staged (`attention_product`). Factors are staged as they are; weights and slopes are rounded to `real`, each
// row multiplied by a power of two that makes its largest number 1 to 2: none is too large or too small for it.
// Matrices cannot be reached by row, so sums go through the shared tile to the threads that keep them.

const ATTENTION_THREADS = 64u;
const ATTENTION_ROWS = 32u;
const ATTENTION_BLOCKS = 1u;

// Columns of the left factor, rows of the right one, that are staged at a time.
const ATTENTION_DEPTH = 16u;
// From line to line, 8 more than there are: squares begin at multiples of 16 bytes, their lines in different memory banks.
const ATTENTION_SHORT = ATTENTION_DEPTH + 8u;
const ATTENTION_LONG = ATTENTION_SIDE + 8u;

// [row, column]
var<workgroup> attention_tile: array<f32, ATTENTION_ROWS * ATTENTION_SIDE>;
// [row, l] of the left factor, [l, column] of the right one
var<workgroup> attention_left: array<real, ATTENTION_ROWS * ATTENTION_SHORT>;
var<workgroup> attention_right: array<real, ATTENTION_DEPTH * ATTENTION_LONG>;

// How many subgroups there are: one computes all rows. A vector, since squares are loaded from multiples of 16 bytes:
// what lies in front of the factors must not move them.
var<workgroup> attention_subgroups: vec4<u32>;

// The first of the 16 rows that a thread's subgroup computes, and whether it stores them: those beyond the second repeat
// it, as cooperative operations need all threads.
struct AttentionBand {
    row: u32,
    keeps: bool,
}

var<private> band: AttentionBand;

// The factors of a tile: a from a row on, or the tile itself, and b from a row and, for sums, a column on.
struct AttentionFactors {
    of_a: u32,
    a: AttentionRows,
    row: u32,
    of_b: u32,
    b: AttentionRows,
    first: u32,
    column: u32,
}

fn attention_stand(index: u32, subgroup: u32, subgroups: u32) {
    let across = index % 8u;
    thread = AttentionThread(index / 8u * 4u, across, 4u * across, 4u * across + 32u);
    band = AttentionBand(min(subgroup, 1u) * 16u, subgroup < 2u);
    // Barriers follow before anyone reads it.
    if index == 0u {
        attention_subgroups = vec4(subgroups);
    }
}

fn attention_of_tile(i: u32) -> vec4<f32> {
    let at = 4u * i;
    return vec4(attention_tile[at], attention_tile[at + 1u], attention_tile[at + 2u], attention_tile[at + 3u]);
}

fn attention_to_tile(i: u32, x: vec4<f32>) {
    let at = 4u * i;
    attention_tile[at] = x.x;
    attention_tile[at + 1u] = x.y;
    attention_tile[at + 2u] = x.z;
    attention_tile[at + 3u] = x.w;
}

fn attention_to_left(at: u32, x: vec4<f32>) {
    attention_left[at] = real(x.x);
    attention_left[at + 1u] = real(x.y);
    attention_left[at + 2u] = real(x.z);
    attention_left[at + 3u] = real(x.w);
}

fn attention_to_right(at: u32, step: u32, x: vec4<f32>) {
    attention_right[at] = real(x.x);
    attention_right[at + step] = real(x.y);
    attention_right[at + 2u * step] = real(x.z);
    attention_right[at + 3u * step] = real(x.w);
}

// Four neighbours in a row, zeros past the last column.
fn attention_or_zeros(source: u32, rows: AttentionRows, row: u32, column: u32) -> vec4<f32> {
    if column >= rows.width {
        return vec4<f32>();
    }
    return attention_load(source, rows, row, column);
}

// The largest number of a row of the tile, rounded down to a power of two.
fn attention_power(row: u32) -> f32 {
    return max(attention_parts[2u * row].x, attention_parts[2u * row + 1u].x);
}

// Finds the powers of all rows: two threads go through a row.
fn attention_find_powers(index: u32) {
    var most = 0u;
    for (var i = 0u; i < 8u; i++) {
        let x = bitcast<vec4<u32>>(attention_of_tile(8u * index + (i + index) % 8u)) & vec4(0x7fffffffu);
        most = max(most, max(max(x.x, x.y), max(x.z, x.w)));
    }
    // Such that its reciprocal is no denormal either.
    let power = clamp(most & 0x7f800000u, 0x00800000u, 0x7e800000u);
    attention_parts[index] = vec4(bitcast<f32>(power));
    workgroupBarrier();
}

// Brings what a and b have from column and row l on to workgroup memory.
fn attention_stage(factors: AttentionFactors, is_sum: bool, l: u32, index: u32) {
    for (var i = index; i < ATTENTION_ROWS * ATTENTION_DEPTH / 4u; i += ATTENTION_THREADS) {
        let row = i / (ATTENTION_DEPTH / 4u);
        let column = i % (ATTENTION_DEPTH / 4u) * 4u;
        var x: vec4<f32>;
        if is_sum {
            let power = bitcast<u32>(attention_power(row));
            x = attention_of_tile((row * ATTENTION_SIDE + l + column) / 4u) * bitcast<f32>(0x7f000000u - power);
        } else {
            x = attention_or_zeros(factors.of_a, factors.a, factors.row + row, l + column);
        }
        attention_to_left(row * ATTENTION_SHORT + column, x);
    }
    for (var i = index; i < ATTENTION_SIDE * ATTENTION_DEPTH / 4u; i += ATTENTION_THREADS) {
        if is_sum {
            let row = i / (ATTENTION_SIDE / 4u);
            let column = i % (ATTENTION_SIDE / 4u) * 4u;
            let x = attention_load(factors.of_b, factors.b, factors.first + l + row, factors.column + column);
            attention_to_right(row * ATTENTION_LONG + column, 1u, x);
        } else {
            let row = i / (ATTENTION_DEPTH / 4u);
            let column = i % (ATTENTION_DEPTH / 4u) * 4u;
            let x = attention_or_zeros(factors.of_b, factors.b, factors.first + row, l + column);
            attention_to_right(column * ATTENTION_LONG + row, ATTENTION_LONG, x);
        }
    }
}

// A square of the left factor from a row and a column of what is staged on.
fn attention_left_square(row: u32, l: u32) -> CoopLeft {
    return coopLoadT<CoopLeft>(&attention_left[row * ATTENTION_SHORT + l], ATTENTION_SHORT);
}

// A square of the right factor from a column and a row of what is staged on.
fn attention_right_square(column: u32, l: u32) -> CoopRight {
    return coopLoadT<CoopRight>(&attention_right[l * ATTENTION_LONG + column], ATTENTION_LONG);
}

// A thread's block of the tile.
fn attention_own_block() -> Block {
    let at = thread.row * 16u + thread.across;
    return Block(
        attention_of_tile(at), attention_of_tile(at + 8u), attention_of_tile(at + 16u), attention_of_tile(at + 24u),
        attention_of_tile(at + 32u), attention_of_tile(at + 40u), attention_of_tile(at + 48u), attention_of_tile(at + 56u));
}

// a·bᵀ for the rows of a from `row` on and those of b from `column` on.
fn attention_scores(
    of_a: u32, a: AttentionRows, row: u32, of_b: u32, b: AttentionRows, column: u32, index: u32,
) -> AttentionTile {
    attention_product(AttentionFactors(of_a, a, row, of_b, b, column, 0u), false, a.width, index);
    return AttentionTile(attention_own_block(), Block(), Block(), Block());
}

// sums + tile·b for the rows of b from `row` on, and its columns from `column` on.
fn attention_accumulate(
    sums: AttentionTile, of_b: u32, b: AttentionRows, row: u32, column: u32, index: u32,
) -> AttentionTile {
    attention_find_powers(index);
    let depth = min(ATTENTION_SIDE, b.count - row);
    attention_product(AttentionFactors(of_b, b, 0u, of_b, b, row, column), true, depth, index);
    let x = attention_own_block();
    let p = vec4(
        attention_power(thread.row), attention_power(thread.row + 1u),
        attention_power(thread.row + 2u), attention_power(thread.row + 3u));
    let s = sums.a;
    let block = Block(
        s[0] + x[0] * p.x, s[1] + x[1] * p.x, s[2] + x[2] * p.y, s[3] + x[3] * p.y,
        s[4] + x[4] * p.z, s[5] + x[5] * p.z, s[6] + x[6] * p.w, s[7] + x[7] * p.w);
    return AttentionTile(block, sums.b, sums.c, sums.d);
}
