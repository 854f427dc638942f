// y[i, j] = Σ_k a[i, k]·b[k, j] on GPUs, in tiles of 64 rows and columns.
// 64 threads bring 16 k's of both operands to workgroup memory; each thread sums 8×8 numbers from there.
//#import matrix
//#import chain
//#import index

const SIDE = 64u;
const DEPTH = 16u;
// Vectors from one k to the next, one more than there are so that threads hit different memory banks.
const PITCH = SIDE / 4u + 1u;

// [k, i / 4] and [k, j / 4]
var<workgroup> a_tile: array<vec4<f32>, DEPTH * PITCH>;
var<workgroup> b_tile: array<vec4<f32>, DEPTH * PITCH>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let tile = matmul_tile(workgroup_index(group, groups), SIDE, SIDE);
    if !tile.inside {
        return;
    }
    // Each thread brings a 4×4 block of a and one of b; neighbouring threads read neighbouring memory.
    var a_block = vec2(thread / 4u, thread % 4u) * 4u;
    if TRANSPOSED_A {
        a_block = vec2(thread % 16u, thread / 16u) * 4u;
    }
    var b_block = vec2(thread % 16u, thread / 16u) * 4u;
    if TRANSPOSED_B {
        b_block = vec2(thread / 4u, thread % 4u) * 4u;
    }
    let a_place = a_block.y * PITCH + a_block.x / 4u;
    let b_place = b_block.y * PITCH + b_block.x / 4u;
    let down = thread / 8u;
    let right = thread % 8u;

    var upper = Block();
    var lower = Block();
    var a_next = matmul_a_columns(tile, tile.row + a_block.x, tile.begin + a_block.y);
    var b_next = matmul_b_rows(tile, tile.column + b_block.x, tile.begin + b_block.y);
    for (var k = tile.begin; k < tile.end; k += DEPTH) {
        workgroupBarrier();
        a_tile[a_place] = a_next[0];
        a_tile[a_place + PITCH] = a_next[1];
        a_tile[a_place + 2u * PITCH] = a_next[2];
        a_tile[a_place + 3u * PITCH] = a_next[3];
        b_tile[b_place] = b_next[0];
        b_tile[b_place + PITCH] = b_next[1];
        b_tile[b_place + 2u * PITCH] = b_next[2];
        b_tile[b_place + 3u * PITCH] = b_next[3];
        workgroupBarrier();
        // The next block is on its way while this one is worked on.
        a_next = matmul_a_columns(tile, tile.row + a_block.x, k + DEPTH + a_block.y);
        b_next = matmul_b_rows(tile, tile.column + b_block.x, k + DEPTH + b_block.y);
        for (var l = 0u; l < DEPTH; l++) {
            let i = l * PITCH + down;
            let j = l * PITCH + right;
            let left = b_tile[j];
            let right = b_tile[j + 8u];
            block_add(&upper, a_tile[i], left, right);
            block_add(&lower, a_tile[i + 8u], left, right);
        }
    }

    let column = tile.column + 4u * right;
    // A loop, so that the text of `store`, which may be long, is compiled once and not twice.
    for (var row = 4u * down; row < SIDE; row += SIDE / 2u) {
        matmul_store_block(tile, tile.row + row, column, column + SIDE / 2u, upper);
        upper = lower;
    }
}
