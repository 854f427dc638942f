// y[i, j] = Σ_k a[i, k]·b[k, j] by cooperative matrices of 16 rows and columns, in tiles of 128 rows and 128 or 256 columns.
// For factors in whole vectors of four: they go from memory to the tiles as they are. The threads bring 32 k's of both;
// a subgroup computes a block of 64 rows and columns, and where there are fewer subgroups than blocks, they go over k again.
//#enable wgpu_cooperative_matrix
//#import chain
//#import index
//#import matrix

// Whether k comes in whole tiles.
override WHOLE: bool = false;

const ROWS = 128u;
const DEPTH = 32u;
// As many threads as columns, two blocks on top of each other.
override COLUMNS: u32 = 128u;
// Vectors from line to line, two more than there are: squares begin at multiples of 16 bytes, the lines of a square in
// different memory banks.
const K_PITCH = DEPTH / 4u + 2u;
const ROWS_PITCH = ROWS / 4u + 2u;
override B_LENGTH: u32 = COLUMNS * K_PITCH;
override SQUARES: u32 = COLUMNS * 8u;

alias Left = coop_mat16x16<real, A>;
alias Right = coop_mat16x16<real, B>;
alias Sums = coop_mat16x16<f32, C>;

// [row, k / 4] or [k, row / 4]; [column, k / 4] or [k, column / 4]
var<workgroup> a_tile: array<vec4<real>, ROWS * K_PITCH>;
var<workgroup> b_tile: array<vec4<real>, B_LENGTH>;
// [block, row, column]: one square of each block on its way to y
var<workgroup> squares: array<f32, SQUARES>;

// Where vector i of a factor's tile stands: its row or column of `side`, and its k.
fn place(i: u32, side: u32, along_k: bool) -> vec2<u32> {
    if along_k {
        return vec2(i / (DEPTH / 4u), i % (DEPTH / 4u) * 4u);
    }
    return vec2(i % (side / 4u) * 4u, i / (side / 4u));
}

// Where it lies in the tile.
fn place_in_tile(i: u32, side: u32, along_k: bool) -> u32 {
    let at = place(i, side, along_k);
    return select(at.y * (side / 4u + 2u) + at.x / 4u, at.x * K_PITCH + at.y / 4u, along_k);
}

// Vector j of a thread of a, from k on: zeros past the tile's last k, some numbers past its last row, of which nothing is
// kept. No index is held within the matrix, so that those of a thread's vectors differ by one number: reads past a buffer's
// end give some number of it.
fn load_a(tile: MatmulTile, k: u32, thread: u32, j: u32) -> vec4<real> {
    if j * COLUMNS >= ROWS * DEPTH / 4u {
        return vec4<real>();
    }
    let at = vec2(tile.row, k) + place(thread + j * COLUMNS, ROWS, !TRANSPOSED_A);
    let element = tile.a + select(at.x * sizes.a_row + at.y, at.y * sizes.a_row + at.x, TRANSPOSED_A);
    if WHOLE {
        return a[element / 4u];
    }
    return select(vec4<real>(), a[element / 4u], at.y < tile.end);
}

fn load_b(tile: MatmulTile, k: u32, thread: u32, j: u32) -> vec4<real> {
    let at = vec2(tile.column, k) + place(thread + j * COLUMNS, COLUMNS, TRANSPOSED_B);
    let element = tile.b + select(at.y * sizes.b_row + at.x, at.x * sizes.b_row + at.y, TRANSPOSED_B);
    if WHOLE {
        return b[element / 4u];
    }
    return select(vec4<real>(), b[element / 4u], at.y < tile.end);
}

// A thread's share of a factor's tile.
alias Share = array<vec4<real>, 8>;

fn load_a_share(tile: MatmulTile, k: u32, thread: u32) -> Share {
    return Share(
        load_a(tile, k, thread, 0u), load_a(tile, k, thread, 1u), load_a(tile, k, thread, 2u), load_a(tile, k, thread, 3u),
        load_a(tile, k, thread, 4u), load_a(tile, k, thread, 5u), load_a(tile, k, thread, 6u), load_a(tile, k, thread, 7u));
}

fn load_b_share(tile: MatmulTile, k: u32, thread: u32) -> Share {
    return Share(
        load_b(tile, k, thread, 0u), load_b(tile, k, thread, 1u), load_b(tile, k, thread, 2u), load_b(tile, k, thread, 3u),
        load_b(tile, k, thread, 4u), load_b(tile, k, thread, 5u), load_b(tile, k, thread, 6u), load_b(tile, k, thread, 7u));
}

fn keep_a(thread: u32, j: u32, value: vec4<real>) {
    if j * COLUMNS < ROWS * DEPTH / 4u {
        a_tile[place_in_tile(thread + j * COLUMNS, ROWS, !TRANSPOSED_A)] = value;
    }
}

fn keep_b(thread: u32, j: u32, value: vec4<real>) {
    b_tile[place_in_tile(thread + j * COLUMNS, COLUMNS, TRANSPOSED_B)] = value;
}

// Brings what was loaded into the tiles, when nobody reads them.
fn keep(a_share: Share, b_share: Share, thread: u32) {
    workgroupBarrier();
    keep_a(thread, 0u, a_share[0]);
    keep_a(thread, 1u, a_share[1]);
    keep_a(thread, 2u, a_share[2]);
    keep_a(thread, 3u, a_share[3]);
    keep_a(thread, 4u, a_share[4]);
    keep_a(thread, 5u, a_share[5]);
    keep_a(thread, 6u, a_share[6]);
    keep_a(thread, 7u, a_share[7]);
    keep_b(thread, 0u, b_share[0]);
    keep_b(thread, 1u, b_share[1]);
    keep_b(thread, 2u, b_share[2]);
    keep_b(thread, 3u, b_share[3]);
    keep_b(thread, 4u, b_share[4]);
    keep_b(thread, 5u, b_share[5]);
    keep_b(thread, 6u, b_share[6]);
    keep_b(thread, 7u, b_share[7]);
    workgroupBarrier();
}

// Blocks of 64 rows and columns.
fn blocks() -> u32 {
    return COLUMNS / 32u;
}

// The square of a from a row and a k of the tile on.
fn left_square(row: u32, k: u32) -> Left {
    if TRANSPOSED_A {
        let at = k * ROWS_PITCH + row / 4u;
        return coopLoad<Left>(&a_tile[at], ROWS_PITCH);
    }
    let at = row * K_PITCH + k / 4u;
    return coopLoadT<Left>(&a_tile[at], K_PITCH);
}

// The square of b from a column and a k of the tile on.
fn right_square(column: u32, k: u32) -> Right {
    if TRANSPOSED_B {
        let at = column * K_PITCH + k / 4u;
        return coopLoad<Right>(&b_tile[at], K_PITCH);
    }
    let pitch = COLUMNS / 4u + 2u;
    let at = k * pitch + column / 4u;
    return coopLoadT<Right>(&b_tile[at], pitch);
}

// Stores a square of each of the blocks from `first` on that are computed together.
fn put_square(tile: MatmulTile, square: u32, first: u32, together: u32, thread: u32) {
    let last = min(first + together, blocks()) * 64u;
    for (var i = first * 64u + thread; tile.inside && i < last; i += COLUMNS) {
        let block = i / 64u;
        let down = i / 4u % 16u + block / (COLUMNS / 64u) * 64u + square / 4u * 16u;
        let right = i % 4u * 4u + block % (COLUMNS / 64u) * 64u + square % 4u * 16u;
        let sums = vec4(squares[4u * i], squares[4u * i + 1u], squares[4u * i + 2u], squares[4u * i + 3u]);
        matmul_store(tile, tile.row + down, tile.column + right, sums);
    }
}

@compute @workgroup_size(COLUMNS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
) {
    var tile = matmul_tile(workgroup_index(group, groups), ROWS, COLUMNS);
    if !tile.inside {
        // No return: every thread has to reach the barriers and the cooperative operations.
        tile.end = tile.begin;
    }
    let together = min(subgroups, blocks());
    for (var first = 0u; first < blocks(); first += together) {
        // Subgroups beyond the blocks repeat one and keep nothing.
        let block = min(first + subgroup % together, blocks() - 1u);
        let keeps = subgroup < together && first + subgroup < blocks();
        let row = block / (COLUMNS / 64u) * 64u;
        let column = block % (COLUMNS / 64u) * 64u;
        let own = block * 256u;

        // The squares of the block, row by row.
        var s0 = Sums();
        var s1 = Sums();
        var s2 = Sums();
        var s3 = Sums();
        var s4 = Sums();
        var s5 = Sums();
        var s6 = Sums();
        var s7 = Sums();
        var s8 = Sums();
        var s9 = Sums();
        var s10 = Sums();
        var s11 = Sums();
        var s12 = Sums();
        var s13 = Sums();
        var s14 = Sums();
        var s15 = Sums();
        keep(load_a_share(tile, tile.begin, thread), load_b_share(tile, tile.begin, thread), thread);
        for (var k = tile.begin; k < tile.end; k += DEPTH) {
            // The next vectors are on their way while these are worked on. They are kept in the same round: what the next
            // one would need, compilers load there.
            let a_next = load_a_share(tile, k + DEPTH, thread);
            let b_next = load_b_share(tile, k + DEPTH, thread);
            let a0 = left_square(row, 0u);
            let a1 = left_square(row + 16u, 0u);
            let a2 = left_square(row + 32u, 0u);
            let a3 = left_square(row + 48u, 0u);
            let b0 = right_square(column, 0u);
            s0 = coopMultiplyAdd(a0, b0, s0);
            s4 = coopMultiplyAdd(a1, b0, s4);
            s8 = coopMultiplyAdd(a2, b0, s8);
            s12 = coopMultiplyAdd(a3, b0, s12);
            let b1 = right_square(column + 16u, 0u);
            s1 = coopMultiplyAdd(a0, b1, s1);
            s5 = coopMultiplyAdd(a1, b1, s5);
            s9 = coopMultiplyAdd(a2, b1, s9);
            s13 = coopMultiplyAdd(a3, b1, s13);
            let b2 = right_square(column + 32u, 0u);
            s2 = coopMultiplyAdd(a0, b2, s2);
            s6 = coopMultiplyAdd(a1, b2, s6);
            s10 = coopMultiplyAdd(a2, b2, s10);
            s14 = coopMultiplyAdd(a3, b2, s14);
            let b3 = right_square(column + 48u, 0u);
            s3 = coopMultiplyAdd(a0, b3, s3);
            s7 = coopMultiplyAdd(a1, b3, s7);
            s11 = coopMultiplyAdd(a2, b3, s11);
            s15 = coopMultiplyAdd(a3, b3, s15);
            let c0 = left_square(row, 16u);
            let c1 = left_square(row + 16u, 16u);
            let c2 = left_square(row + 32u, 16u);
            let c3 = left_square(row + 48u, 16u);
            let d0 = right_square(column, 16u);
            s0 = coopMultiplyAdd(c0, d0, s0);
            s4 = coopMultiplyAdd(c1, d0, s4);
            s8 = coopMultiplyAdd(c2, d0, s8);
            s12 = coopMultiplyAdd(c3, d0, s12);
            let d1 = right_square(column + 16u, 16u);
            s1 = coopMultiplyAdd(c0, d1, s1);
            s5 = coopMultiplyAdd(c1, d1, s5);
            s9 = coopMultiplyAdd(c2, d1, s9);
            s13 = coopMultiplyAdd(c3, d1, s13);
            let d2 = right_square(column + 32u, 16u);
            s2 = coopMultiplyAdd(c0, d2, s2);
            s6 = coopMultiplyAdd(c1, d2, s6);
            s10 = coopMultiplyAdd(c2, d2, s10);
            s14 = coopMultiplyAdd(c3, d2, s14);
            let d3 = right_square(column + 48u, 16u);
            s3 = coopMultiplyAdd(c0, d3, s3);
            s7 = coopMultiplyAdd(c1, d3, s7);
            s11 = coopMultiplyAdd(c2, d3, s11);
            s15 = coopMultiplyAdd(c3, d3, s15);
            keep(a_next, b_next, thread);
        }

        // Square by square through workgroup memory to y. No loop: where one is not unrolled, sums leave the registers.
        if keeps {
            coopStoreT(s0, &squares[own], 16u);
        }
        workgroupBarrier();
        put_square(tile, 0u, first, together, thread);
        workgroupBarrier();
        if keeps {
            coopStoreT(s1, &squares[own], 16u);
        }
        workgroupBarrier();
        put_square(tile, 1u, first, together, thread);
        workgroupBarrier();
        if keeps {
            coopStoreT(s2, &squares[own], 16u);
        }
        workgroupBarrier();
        put_square(tile, 2u, first, together, thread);
        workgroupBarrier();
        if keeps {
            coopStoreT(s3, &squares[own], 16u);
        }
        workgroupBarrier();
        put_square(tile, 3u, first, together, thread);
        workgroupBarrier();
        if keeps {
            coopStoreT(s4, &squares[own], 16u);
        }
        workgroupBarrier();
        put_square(tile, 4u, first, together, thread);
        workgroupBarrier();
        if keeps {
            coopStoreT(s5, &squares[own], 16u);
        }
        workgroupBarrier();
        put_square(tile, 5u, first, together, thread);
        workgroupBarrier();
        if keeps {
            coopStoreT(s6, &squares[own], 16u);
        }
        workgroupBarrier();
        put_square(tile, 6u, first, together, thread);
        workgroupBarrier();
        if keeps {
            coopStoreT(s7, &squares[own], 16u);
        }
        workgroupBarrier();
        put_square(tile, 7u, first, together, thread);
        workgroupBarrier();
        if keeps {
            coopStoreT(s8, &squares[own], 16u);
        }
        workgroupBarrier();
        put_square(tile, 8u, first, together, thread);
        workgroupBarrier();
        if keeps {
            coopStoreT(s9, &squares[own], 16u);
        }
        workgroupBarrier();
        put_square(tile, 9u, first, together, thread);
        workgroupBarrier();
        if keeps {
            coopStoreT(s10, &squares[own], 16u);
        }
        workgroupBarrier();
        put_square(tile, 10u, first, together, thread);
        workgroupBarrier();
        if keeps {
            coopStoreT(s11, &squares[own], 16u);
        }
        workgroupBarrier();
        put_square(tile, 11u, first, together, thread);
        workgroupBarrier();
        if keeps {
            coopStoreT(s12, &squares[own], 16u);
        }
        workgroupBarrier();
        put_square(tile, 12u, first, together, thread);
        workgroupBarrier();
        if keeps {
            coopStoreT(s13, &squares[own], 16u);
        }
        workgroupBarrier();
        put_square(tile, 13u, first, together, thread);
        workgroupBarrier();
        if keeps {
            coopStoreT(s14, &squares[own], 16u);
        }
        workgroupBarrier();
        put_square(tile, 14u, first, together, thread);
        workgroupBarrier();
        if keeps {
            coopStoreT(s15, &squares[own], 16u);
        }
        workgroupBarrier();
        put_square(tile, 15u, first, together, thread);
    }
}
