// A product by cooperative matrices: the threads of a subgroup hold a square of each factor and of the sums
// together. The file that imports this says how large the squares are (SIDE) and names their types, CoopLeft,
// CoopRight and CoopSums. What the factors are is said by cooperative_matmul or cooperative_correlation: where a
// tile is (CoopTile), how four numbers of a or of b are loaded and of y stored (coop_a, coop_b, coop_store), what all
// threads prepare for the next k's (coop_prepare), whether a factor lies transposed (TRANSPOSED_A, TRANSPOSED_B), and
// how many numbers a tile of b takes then (COOP_B_LENGTH).
// A workgroup computes 4 by 8 squares of y in four blocks of 2 by 4, one for each of its subgroups; where it has
// fewer, they go over k again for the blocks that are left.

const COOP_THREADS = 128u;
const COOP_BLOCKS = 4u;
const COOP_ROWS = 4u * SIDE;
const COOP_COLUMNS = 8u * SIDE;
// So many k's that each thread brings two vectors of a and four of b.
const COOP_DEPTH = 256u / SIDE;
// Neighbours along k or along the rows and columns, as they are in memory, and 8 more: squares begin at multiples of
// 16 bytes, and lines of a square in different memory banks.
const COOP_K_PITCH = COOP_DEPTH + 8u;
const COOP_ROW_PITCH = COOP_ROWS + 8u;
const COOP_COLUMN_PITCH = COOP_COLUMNS + 8u;

// [row, k] or [k, row]; [column, k] or [k, column]
var<workgroup> coop_a_tile: array<real, COOP_ROWS * COOP_K_PITCH>;
var<workgroup> coop_b_tile: array<real, COOP_B_LENGTH>;
// [block, row, column]: one square of each block on its way to y
var<workgroup> coop_y: array<f32, COOP_BLOCKS * SIDE * SIDE>;

// A thread's vector number i of a: its row within the tile and its k.
fn coop_a_place(i: u32) -> vec2<u32> {
    if TRANSPOSED_A {
        return vec2(i % (COOP_ROWS / 4u) * 4u, i / (COOP_ROWS / 4u));
    }
    return vec2(i / (COOP_DEPTH / 4u), i % (COOP_DEPTH / 4u) * 4u);
}

fn coop_b_place(i: u32) -> vec2<u32> {
    if TRANSPOSED_B {
        return vec2(i / (COOP_DEPTH / 4u), i % (COOP_DEPTH / 4u) * 4u);
    }
    return vec2(i % (COOP_COLUMNS / 4u) * 4u, i / (COOP_COLUMNS / 4u));
}

fn coop_a_load(tile: CoopTile, k: u32, i: u32) -> vec4<f32> {
    let place = coop_a_place(i);
    return coop_a(tile, place.x, k + place.y);
}

fn coop_b_load(tile: CoopTile, k: u32, i: u32) -> vec4<f32> {
    let place = coop_b_place(i);
    return coop_b(tile, place.x, k + place.y);
}

fn coop_a_keep(i: u32, x: vec4<f32>) {
    let place = coop_a_place(i);
    var at = place.x * COOP_K_PITCH + place.y;
    if TRANSPOSED_A {
        at = place.y * COOP_ROW_PITCH + place.x;
    }
    coop_a_tile[at] = real(x.x);
    coop_a_tile[at + 1u] = real(x.y);
    coop_a_tile[at + 2u] = real(x.z);
    coop_a_tile[at + 3u] = real(x.w);
}

fn coop_b_keep(i: u32, x: vec4<f32>) {
    let place = coop_b_place(i);
    var at = place.y * COOP_COLUMN_PITCH + place.x;
    if TRANSPOSED_B {
        at = place.x * COOP_K_PITCH + place.y;
    }
    coop_b_tile[at] = real(x.x);
    coop_b_tile[at + 1u] = real(x.y);
    coop_b_tile[at + 2u] = real(x.z);
    coop_b_tile[at + 3u] = real(x.w);
}

// The square of a from a row and a k of the tile on.
fn coop_left(row: u32, k: u32) -> CoopLeft {
    if TRANSPOSED_A {
        return coopLoad<CoopLeft>(&coop_a_tile[k * COOP_ROW_PITCH + row], COOP_ROW_PITCH);
    }
    return coopLoadT<CoopLeft>(&coop_a_tile[row * COOP_K_PITCH + k], COOP_K_PITCH);
}

// The square of b from a column and a k of the tile on.
fn coop_right(column: u32, k: u32) -> CoopRight {
    if TRANSPOSED_B {
        return coopLoad<CoopRight>(&coop_b_tile[column * COOP_K_PITCH + k], COOP_K_PITCH);
    }
    return coopLoadT<CoopRight>(&coop_b_tile[k * COOP_COLUMN_PITCH + column], COOP_COLUMN_PITCH);
}

// Stores a square of each of the blocks from `first` on that are computed together.
fn coop_put(tile: CoopTile, square: u32, first: u32, together: u32, thread: u32) {
    let last = min(first + together, COOP_BLOCKS) * SIDE * SIDE / 4u;
    for (var i = first * SIDE * SIDE / 4u + thread; tile.inside && i < last; i += COOP_THREADS) {
        let block = i * 4u / (SIDE * SIDE);
        let down = i * 4u / SIDE % SIDE + (block / 2u * 2u + square / 4u) * SIDE;
        let right = i * 4u % SIDE + (block % 2u * 4u + square % 4u) * SIDE;
        let sums = vec4(coop_y[4u * i], coop_y[4u * i + 1u], coop_y[4u * i + 2u], coop_y[4u * i + 3u]);
        coop_store(tile, down, right, sums);
    }
}

fn coop_product(whole: CoopTile, thread: u32, subgroup: u32, subgroups: u32) {
    var tile = whole;
    if !tile.inside {
        // No return: every thread has to reach the barriers and the cooperative operations.
        tile.end = tile.begin;
    }
    let together = min(subgroups, COOP_BLOCKS);
    for (var first = 0u; first < COOP_BLOCKS; first += together) {
        // Subgroups beyond the blocks repeat one and keep nothing.
        let block = min(first + subgroup % together, COOP_BLOCKS - 1u);
        let keeps = subgroup < together && first + subgroup < COOP_BLOCKS;
        let row = block / 2u * 2u * SIDE;
        let column = block % 2u * 4u * SIDE;
        let own = block * SIDE * SIDE;

        var s0 = CoopSums();
        var s1 = CoopSums();
        var s2 = CoopSums();
        var s3 = CoopSums();
        var s4 = CoopSums();
        var s5 = CoopSums();
        var s6 = CoopSums();
        var s7 = CoopSums();
        coop_prepare(tile, tile.begin, thread);
        workgroupBarrier();
        var a0 = coop_a_load(tile, tile.begin, thread);
        var a1 = coop_a_load(tile, tile.begin, thread + COOP_THREADS);
        var b0 = coop_b_load(tile, tile.begin, thread);
        var b1 = coop_b_load(tile, tile.begin, thread + COOP_THREADS);
        var b2 = coop_b_load(tile, tile.begin, thread + 2u * COOP_THREADS);
        var b3 = coop_b_load(tile, tile.begin, thread + 3u * COOP_THREADS);
        for (var k = tile.begin; k < tile.end; k += COOP_DEPTH) {
            workgroupBarrier();
            coop_a_keep(thread, a0);
            coop_a_keep(thread + COOP_THREADS, a1);
            coop_b_keep(thread, b0);
            coop_b_keep(thread + COOP_THREADS, b1);
            coop_b_keep(thread + 2u * COOP_THREADS, b2);
            coop_b_keep(thread + 3u * COOP_THREADS, b3);
            let next = k + COOP_DEPTH;
            coop_prepare(tile, next, thread);
            workgroupBarrier();
            // The next vectors are on their way while these are worked on.
            a0 = coop_a_load(tile, next, thread);
            a1 = coop_a_load(tile, next, thread + COOP_THREADS);
            b0 = coop_b_load(tile, next, thread);
            b1 = coop_b_load(tile, next, thread + COOP_THREADS);
            b2 = coop_b_load(tile, next, thread + 2u * COOP_THREADS);
            b3 = coop_b_load(tile, next, thread + 3u * COOP_THREADS);
            for (var l = 0u; l < COOP_DEPTH; l += SIDE) {
                let upper = coop_left(row, l);
                let lower = coop_left(row + SIDE, l);
                let r0 = coop_right(column, l);
                s0 = coopMultiplyAdd(upper, r0, s0);
                s4 = coopMultiplyAdd(lower, r0, s4);
                let r1 = coop_right(column + SIDE, l);
                s1 = coopMultiplyAdd(upper, r1, s1);
                s5 = coopMultiplyAdd(lower, r1, s5);
                let r2 = coop_right(column + 2u * SIDE, l);
                s2 = coopMultiplyAdd(upper, r2, s2);
                s6 = coopMultiplyAdd(lower, r2, s6);
                let r3 = coop_right(column + 3u * SIDE, l);
                s3 = coopMultiplyAdd(upper, r3, s3);
                s7 = coopMultiplyAdd(lower, r3, s7);
            }
        }

        // Square by square through workgroup memory to y. No loop: where one is not unrolled, sums leave the registers.
        workgroupBarrier();
        if keeps {
            coopStoreT(s0, &coop_y[own], SIDE);
        }
        workgroupBarrier();
        coop_put(tile, 0u, first, together, thread);
        workgroupBarrier();
        if keeps {
            coopStoreT(s1, &coop_y[own], SIDE);
        }
        workgroupBarrier();
        coop_put(tile, 1u, first, together, thread);
        workgroupBarrier();
        if keeps {
            coopStoreT(s2, &coop_y[own], SIDE);
        }
        workgroupBarrier();
        coop_put(tile, 2u, first, together, thread);
        workgroupBarrier();
        if keeps {
            coopStoreT(s3, &coop_y[own], SIDE);
        }
        workgroupBarrier();
        coop_put(tile, 3u, first, together, thread);
        workgroupBarrier();
        if keeps {
            coopStoreT(s4, &coop_y[own], SIDE);
        }
        workgroupBarrier();
        coop_put(tile, 4u, first, together, thread);
        workgroupBarrier();
        if keeps {
            coopStoreT(s5, &coop_y[own], SIDE);
        }
        workgroupBarrier();
        coop_put(tile, 5u, first, together, thread);
        workgroupBarrier();
        if keeps {
            coopStoreT(s6, &coop_y[own], SIDE);
        }
        workgroupBarrier();
        coop_put(tile, 6u, first, together, thread);
        workgroupBarrier();
        if keeps {
            coopStoreT(s7, &coop_y[own], SIDE);
        }
        workgroupBarrier();
        coop_put(tile, 7u, first, together, thread);
    }
}
