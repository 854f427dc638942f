// y[i, j] = Σ_k a[i, k]·b[k, j] with at most four rows i: reading b once is the work.
// A thread sums eight columns; threads lie side by side along the direction in which b is contiguous.
//#import matrix
//#import chain
//#import index

override THREADS: u32 = 64u;
// 1 or 4.
override ROWS: u32 = 4u;

// The sums over k = begin, begin + step, …, four k's at a time.
fn thin_sums(tile: MatmulTile, column: u32, begin: u32, step: u32) -> Block {
    var sums = Block();
    for (var k = begin; k < tile.end; k += step) {
        let left = matmul_b_rows(tile, column, k);
        let right = matmul_b_rows(tile, column + 4u, k);
        if ROWS == 1u {
            let x = matmul_a(tile, tile.row, k);
            sums[0] += x.x * left[0] + x.y * left[1] + x.z * left[2] + x.w * left[3];
            sums[1] += x.x * right[0] + x.y * right[1] + x.z * right[2] + x.w * right[3];
        } else {
            block_add_square(&sums, matmul_a_columns(tile, tile.row, k), left, right);
        }
    }
    return sums;
}

fn thin_store(tile: MatmulTile, column: u32, sums: Block) {
    if ROWS == 1u {
        matmul_store(tile, tile.row, column, sums[0]);
        matmul_store(tile, tile.row, column + 4u, sums[1]);
    } else {
        matmul_store_block(tile, tile.row, column, column + 4u, sums);
    }
}

// b[k, n]: each thread has columns of its own.
@compute @workgroup_size(THREADS)
fn along_n(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let tile = matmul_tile(workgroup_index(group, groups), ROWS, 8u * THREADS);
    if !tile.inside {
        return;
    }
    let column = tile.column + thread * 8u;
    thin_store(tile, column, thin_sums(tile, column, tile.begin, 4u));
}

// [thread, sum]: one array, as compilers do not agree on the order of two.
var<workgroup> partial: array<vec4<f32>, THREADS * 8u>;

// b stored transposed, [n, k]: all threads have the same columns, each sums every THREADS-th vector of k.
@compute @workgroup_size(THREADS)
fn along_k(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let tile = matmul_tile(workgroup_index(group, groups), ROWS, 8u);
    var sums = thin_sums(tile, tile.column, tile.begin + 4u * thread, 4u * THREADS);
    for (var i = 0u; i < 2u * ROWS; i++) {
        partial[thread * 8u + i] = sums[i];
    }
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if thread < half {
            for (var i = 0u; i < 2u * ROWS; i++) {
                partial[thread * 8u + i] += partial[(thread + half) * 8u + i];
            }
        }
    }
    if thread == 0u && tile.inside {
        for (var i = 0u; i < 2u * ROWS; i++) {
            sums[i] = partial[i];
        }
        thin_store(tile, tile.column, sums);
    }
}
