// y[i, j] = Σ_k a[i, k]·b[k, j] on software drivers with subgroups.
// A lane sums eight columns of 8 or 16 rows in registers, without workgroup memory. Loads cost most
// there, so each number of the block of a is loaded by one lane and broadcast to the others.
//#import matrix
//#import chain
//#import index

override ROWS: u32 = 16u;

fn lanes_0_to_3(x: f32) -> vec4<f32> {
    return vec4(subgroupBroadcast(x, 0u), subgroupBroadcast(x, 1u), subgroupBroadcast(x, 2u), subgroupBroadcast(x, 3u));
}

fn lanes_4_to_7(x: f32) -> vec4<f32> {
    return vec4(subgroupBroadcast(x, 4u), subgroupBroadcast(x, 5u), subgroupBroadcast(x, 6u), subgroupBroadcast(x, 7u));
}

// Adds the products of a[row..row+8, k..k+4] with four rows of b, each given as two vectors.
fn add_block(
    sums: ptr<function, MatmulSums>,
    tile: MatmulTile,
    row: u32,
    k: u32,
    lane: u32,
    lanes: u32,
    left: array<vec4<f32>, 4>,
    right: array<vec4<f32>, 4>,
) {
    if lanes < 8u {
        matmul_add_block(sums, tile, row, k, left, right);
    } else if TRANSPOSED_A {
        let x = matmul_a(tile, row + lane / 4u % 2u * 4u, k + lane % 4u);
        matmul_add(sums, subgroupBroadcast(x, 0u), subgroupBroadcast(x, 4u), left[0], right[0]);
        matmul_add(sums, subgroupBroadcast(x, 1u), subgroupBroadcast(x, 5u), left[1], right[1]);
        matmul_add(sums, subgroupBroadcast(x, 2u), subgroupBroadcast(x, 6u), left[2], right[2]);
        matmul_add(sums, subgroupBroadcast(x, 3u), subgroupBroadcast(x, 7u), left[3], right[3]);
    } else {
        let x = matmul_a(tile, row + lane % 8u, k);
        matmul_add(sums, lanes_0_to_3(x.x), lanes_4_to_7(x.x), left[0], right[0]);
        matmul_add(sums, lanes_0_to_3(x.y), lanes_4_to_7(x.y), left[1], right[1]);
        matmul_add(sums, lanes_0_to_3(x.z), lanes_4_to_7(x.z), left[2], right[2]);
        matmul_add(sums, lanes_0_to_3(x.w), lanes_4_to_7(x.w), left[3], right[3]);
    }
}

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
    @builtin(subgroup_invocation_id) lane: u32,
    @builtin(subgroup_size) lanes: u32,
) {
    let tile = matmul_tile(workgroup_index(group, groups), ROWS, 64u);
    if !tile.inside {
        return;
    }
    let column = tile.column + thread * 8u;
    var upper = MatmulSums();
    var lower = MatmulSums();
    for (var k = tile.begin; k < tile.end; k += 4u) {
        let left = matmul_b_rows(tile, column, k);
        let right = matmul_b_rows(tile, column + 4u, k);
        add_block(&upper, tile, tile.row, k, lane, lanes, left, right);
        if ROWS > 8u {
            add_block(&lower, tile, tile.row + 8u, k, lane, lanes, left, right);
        }
    }
    matmul_store_block(tile, tile.row, tile.row + 4u, column, column + 4u, upper);
    if ROWS > 8u {
        matmul_store_block(tile, tile.row + 8u, tile.row + 12u, column, column + 4u, lower);
    }
}
