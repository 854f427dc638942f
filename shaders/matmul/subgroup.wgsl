// y[i, j] = Σ_k a[i, k]·b[k, j] on software drivers with subgroups.
// A lane sums eight columns of 8, 16 or 32 rows in registers, without workgroup memory. Loads cost most
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
    for (var k = tile.begin; k < tile.end; k += 4u) {
        let left = matmul_b_rows(tile, column, k);
        let right = matmul_b_rows(tile, column + 4u, k);
        let upper = columns(tile, tile.row, k, lane);
        block_add_square(&s0, upper.top, left, right);
        block_add_square(&s1, upper.bottom, left, right);
        if ROWS > 8u {
            let lower = columns(tile, tile.row + 8u, k, lane);
            block_add_square(&s2, lower.top, left, right);
            block_add_square(&s3, lower.bottom, left, right);
        }
        if ROWS > 16u {
            let third = columns(tile, tile.row + 16u, k, lane);
            block_add_square(&s4, third.top, left, right);
            block_add_square(&s5, third.bottom, left, right);
            let fourth = columns(tile, tile.row + 24u, k, lane);
            block_add_square(&s6, fourth.top, left, right);
            block_add_square(&s7, fourth.bottom, left, right);
        }
    }
    // A loop, so that the text of `store`, which may be long, is compiled for four rows and not for all.
    for (var row = 0u; row < ROWS; row += 4u) {
        matmul_store_block(tile, tile.row + row, column, column + 4u, s0);
        s0 = s1;
        s1 = s2;
        s2 = s3;
        s3 = s4;
        s4 = s5;
        s5 = s6;
        s6 = s7;
    }
}
