// y[i, j] = Σ_k a[i, k]·b[k, j] on software drivers with subgroups.
// A lane sums eight columns of 8, 16, 32 or 64 rows in registers, without workgroup memory. Loads cost most
// there, so each number of the block of a is loaded by one lane and broadcast to the others.
//#import matrix
//#import chain
//#import index

override ROWS: u32 = 16u;

// Four columns of eight rows of a.
struct Columns {
    top: array<vec4<f32>, 4>,
    bottom: array<vec4<f32>, 4>,
}

fn first_lanes(x: f32) -> vec4<f32> {
    return vec4(subgroupBroadcast(x, 0u), subgroupBroadcast(x, 1u), subgroupBroadcast(x, 2u), subgroupBroadcast(x, 3u));
}

fn next_lanes(x: f32) -> vec4<f32> {
    return vec4(subgroupBroadcast(x, 4u), subgroupBroadcast(x, 5u), subgroupBroadcast(x, 6u), subgroupBroadcast(x, 7u));
}

// a[row..row+8, k + q] for q = 0, 1, 2, 3, in two vectors each. Subgroups have at least eight lanes where this is used.
fn columns(tile: MatmulTile, row: u32, k: u32, lane: u32) -> Columns {
    if TRANSPOSED_A {
        let x = matmul_a(tile, row + lane / 4u % 2u * 4u, k + lane % 4u);
        return Columns(
            array(subgroupBroadcast(x, 0u), subgroupBroadcast(x, 1u), subgroupBroadcast(x, 2u), subgroupBroadcast(x, 3u)),
            array(subgroupBroadcast(x, 4u), subgroupBroadcast(x, 5u), subgroupBroadcast(x, 6u), subgroupBroadcast(x, 7u)),
        );
    }
    let x = matmul_a(tile, row + lane % 8u, k);
    return Columns(
        array(first_lanes(x.x), first_lanes(x.y), first_lanes(x.z), first_lanes(x.w)),
        array(next_lanes(x.x), next_lanes(x.y), next_lanes(x.z), next_lanes(x.w)),
    );
}

// Adds the products of four columns of eight rows of a, from `row` and `k` on, with four rows of eight numbers of b.
fn add_eight_rows(
    sums: ptr<function, Block>,
    next: ptr<function, Block>,
    tile: MatmulTile,
    row: u32,
    k: u32,
    lane: u32,
    left: array<vec4<f32>, 4>,
    right: array<vec4<f32>, 4>,
) {
    let eight = columns(tile, row, k, lane);
    block_add_square(sums, eight.top, left, right);
    block_add_square(next, eight.bottom, left, right);
}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    let tile = matmul_tile(workgroup_index(group, groups), ROWS, 64u);
    if !tile.inside {
        return;
    }
    let column = tile.column + thread * 8u;
    var s0 = Block();
    var s1 = Block();
    var s2 = Block();
    var s3 = Block();
    var s4 = Block();
    var s5 = Block();
    var s6 = Block();
    var s7 = Block();
    var s8 = Block();
    var s9 = Block();
    var s10 = Block();
    var s11 = Block();
    var s12 = Block();
    var s13 = Block();
    var s14 = Block();
    var s15 = Block();
    for (var k = tile.begin; k < tile.end; k += 4u) {
        let left = matmul_b_rows(tile, column, k);
        let right = matmul_b_rows(tile, column + 4u, k);
        add_eight_rows(&s0, &s1, tile, tile.row, k, lane, left, right);
        if ROWS > 8u {
            add_eight_rows(&s2, &s3, tile, tile.row + 8u, k, lane, left, right);
        }
        if ROWS > 16u {
            add_eight_rows(&s4, &s5, tile, tile.row + 16u, k, lane, left, right);
            add_eight_rows(&s6, &s7, tile, tile.row + 24u, k, lane, left, right);
        }
        if ROWS > 32u {
            add_eight_rows(&s8, &s9, tile, tile.row + 32u, k, lane, left, right);
            add_eight_rows(&s10, &s11, tile, tile.row + 40u, k, lane, left, right);
            add_eight_rows(&s12, &s13, tile, tile.row + 48u, k, lane, left, right);
            add_eight_rows(&s14, &s15, tile, tile.row + 56u, k, lane, left, right);
        }
    }
    // The text of `store`, which may be long, is compiled once.
    for (var row = 0u; row < sizes.tile_rows; row += 4u) {
        matmul_store_moving(tile, tile.row + row, column, column + 4u, s0);
        s0 = s1;
        s1 = s2;
        s2 = s3;
        s3 = s4;
        s4 = s5;
        s5 = s6;
        s6 = s7;
        s7 = s8;
        s8 = s9;
        s9 = s10;
        s10 = s11;
        s11 = s12;
        s12 = s13;
        s13 = s14;
        s14 = s15;
    }
}
