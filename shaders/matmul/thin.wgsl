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

// Little work: a thread sums one number. Compiling more than this would take longer than it ever runs.
@compute @workgroup_size(THREADS)
fn one_each(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let tile = matmul_tile(workgroup_index(group, groups), 1u, THREADS);
    let column = tile.column + thread;
    if !tile.inside || column >= sizes.n {
        return;
    }
    var sum = 0.0;
    for (var k = tile.begin; k < tile.end; k++) {
        let i = tile.a + select(tile.row * sizes.a_row + k, k * sizes.a_row + tile.row, TRANSPOSED_A);
        let j = tile.b + select(k * sizes.b_row + column, column * sizes.b_row + k, TRANSPOSED_B);
        sum += f32(a[i / 4u][i % 4u]) * f32(b[j / 4u][j % 4u]);
    }
    store(tile.y + tile.row * sizes.y_row + column * sizes.y_column, sum);
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
