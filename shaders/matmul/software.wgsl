// y[i, j] = Σ_k a[i, k]·b[k, j] on software drivers without subgroups.
// A thread sums eight columns of 8, 16 or 32 rows in registers, without workgroup memory.
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
        block_add_square(&s0, matmul_a_columns(tile, tile.row, k), left, right);
        block_add_square(&s1, matmul_a_columns(tile, tile.row + 4u, k), left, right);
        if ROWS > 8u {
            block_add_square(&s2, matmul_a_columns(tile, tile.row + 8u, k), left, right);
            block_add_square(&s3, matmul_a_columns(tile, tile.row + 12u, k), left, right);
        }
        if ROWS > 16u {
            block_add_square(&s4, matmul_a_columns(tile, tile.row + 16u, k), left, right);
            block_add_square(&s5, matmul_a_columns(tile, tile.row + 20u, k), left, right);
            block_add_square(&s6, matmul_a_columns(tile, tile.row + 24u, k), left, right);
            block_add_square(&s7, matmul_a_columns(tile, tile.row + 28u, k), left, right);
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
    }
}
