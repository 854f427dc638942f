// y[i, j] = Σ_k a[i, k]·b[k, j] with at most four rows i: reading b once is the work.
// A thread sums eight columns; threads lie side by side along the direction in which b is contiguous.
//#import matrix
//#import chain
//#import index

override THREADS: u32 = 64u;
// 1 or 4.
override ROWS: u32 = 4u;

// Row by row, each as two vectors.
alias Sums = array<vec4<f32>, 8>;

// The sums over k = begin, begin + step, …, four k's at a time.
fn thin_sums(tile: MatmulTile, column: u32, begin: u32, step: u32) -> Sums {
    var sums = Sums();
    for (var k = begin; k < tile.end; k += step) {
        let l = matmul_b_rows(tile, column, k);
        let r = matmul_b_rows(tile, column + 4u, k);
        if ROWS == 1u {
            let x = matmul_a(tile, tile.row, k);
            sums[0] += x.x * l[0] + x.y * l[1] + x.z * l[2] + x.w * l[3];
            sums[1] += x.x * r[0] + x.y * r[1] + x.z * r[2] + x.w * r[3];
        } else {
            let x = matmul_a_columns(tile, tile.row, k);
            sums[0] += x[0].x * l[0] + x[1].x * l[1] + x[2].x * l[2] + x[3].x * l[3];
            sums[1] += x[0].x * r[0] + x[1].x * r[1] + x[2].x * r[2] + x[3].x * r[3];
            sums[2] += x[0].y * l[0] + x[1].y * l[1] + x[2].y * l[2] + x[3].y * l[3];
            sums[3] += x[0].y * r[0] + x[1].y * r[1] + x[2].y * r[2] + x[3].y * r[3];
            sums[4] += x[0].z * l[0] + x[1].z * l[1] + x[2].z * l[2] + x[3].z * l[3];
            sums[5] += x[0].z * r[0] + x[1].z * r[1] + x[2].z * r[2] + x[3].z * r[3];
            sums[6] += x[0].w * l[0] + x[1].w * l[1] + x[2].w * l[2] + x[3].w * l[3];
            sums[7] += x[0].w * r[0] + x[1].w * r[1] + x[2].w * r[2] + x[3].w * r[3];
        }
    }
    return sums;
}

fn thin_store(tile: MatmulTile, column: u32, sums: Sums) {
    matmul_store(tile, tile.row, column, sums[0]);
    matmul_store(tile, tile.row, column + 4u, sums[1]);
    if ROWS > 1u {
        matmul_store(tile, tile.row + 1u, column, sums[2]);
        matmul_store(tile, tile.row + 1u, column + 4u, sums[3]);
        matmul_store(tile, tile.row + 2u, column, sums[4]);
        matmul_store(tile, tile.row + 2u, column + 4u, sums[5]);
        matmul_store(tile, tile.row + 3u, column, sums[6]);
        matmul_store(tile, tile.row + 3u, column + 4u, sums[7]);
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

var<workgroup> partial: array<Sums, THREADS>;

// b stored transposed, [n, k]: all threads have the same columns, each sums every THREADS-th vector of k.
@compute @workgroup_size(THREADS)
fn along_k(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let tile = matmul_tile(workgroup_index(group, groups), ROWS, 8u);
    partial[thread] = thin_sums(tile, tile.column, tile.begin + 4u * thread, 4u * THREADS);
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if thread < half {
            for (var i = 0u; i < 2u * ROWS; i++) {
                partial[thread][i] += partial[thread + half][i];
            }
        }
    }
    if thread == 0u && tile.inside {
        thin_store(tile, tile.column, partial[0]);
    }
}
