// y[i, j] = Σ_k a[i, k]·b[k, j] on software drivers without subgroups.
// A thread sums eight columns of 8 or 16 rows in registers, without workgroup memory.
//#import matrix
//#import chain
//#import index

override ROWS: u32 = 16u;

@compute @workgroup_size(8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
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
        matmul_add_block(&upper, tile, tile.row, k, left, right);
        if ROWS > 8u {
            matmul_add_block(&lower, tile, tile.row + 8u, k, left, right);
        }
    }
    matmul_store_block(tile, tile.row, tile.row + 4u, column, column + 4u, upper);
    if ROWS > 8u {
        matmul_store_block(tile, tile.row + 8u, tile.row + 12u, column, column + 4u, lower);
    }
}
