// y[i, j] = Σ_k a[i, k]·b[k, j] on GPUs, in tiles of ROWS rows and 64 columns.
// ROWS threads bring 16 k's of both operands to workgroup memory; each sums 8×8 numbers from there.
//#import matrix
//#import chain
//#import index

// 64 or 128: the taller tile reads b half as often, the other one leaves less of a small matrix unused.
override ROWS: u32 = 64u;
const COLUMNS = 64u;
const DEPTH = 16u;
// Vectors from one k to the next, one more than there are so that threads hit different memory banks.
const A_PITCH = 128u / 4u + 1u;
const B_PITCH = COLUMNS / 4u + 1u;

// [k, i / 4] and [k, j / 4]
var<workgroup> a_tile: array<vec4<f32>, DEPTH * A_PITCH>;
var<workgroup> b_tile: array<vec4<f32>, DEPTH * B_PITCH>;

// Adds the products of one k: of the vectors i of a and j of b, and of those half a tile on.
fn add_products(upper: ptr<function, Block>, lower: ptr<function, Block>, l: u32, down: u32, across: u32) {
    let i = l * A_PITCH + down;
    let j = l * B_PITCH + across;
    let left = b_tile[j];
    let right = b_tile[j + 8u];
    block_add(upper, a_tile[i], left, right);
    block_add(lower, a_tile[i + ROWS / 8u], left, right);
}

// Brings blocks of a and b to the tiles, when nobody reads them.
fn keep(a_place: u32, a_block: array<vec4<f32>, 4>, b_place: u32, b_block: array<vec4<f32>, 4>, has_b: bool) {
    workgroupBarrier();
    a_tile[a_place] = a_block[0];
    a_tile[a_place + A_PITCH] = a_block[1];
    a_tile[a_place + 2u * A_PITCH] = a_block[2];
    a_tile[a_place + 3u * A_PITCH] = a_block[3];
    if has_b {
        b_tile[b_place] = b_block[0];
        b_tile[b_place + B_PITCH] = b_block[1];
        b_tile[b_place + 2u * B_PITCH] = b_block[2];
        b_tile[b_place + 3u * B_PITCH] = b_block[3];
    }
    workgroupBarrier();
}

@compute @workgroup_size(ROWS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let tile = matmul_tile(workgroup_index(group, groups), ROWS, COLUMNS);
    if !tile.inside {
        return;
    }
    // Each thread brings a 4×4 block of a, the first 64 one of b; neighbouring threads read neighbouring memory.
    var a_block = vec2(thread / 4u, thread % 4u) * 4u;
    if TRANSPOSED_A {
        a_block = vec2(thread % (ROWS / 4u), thread / (ROWS / 4u)) * 4u;
    }
    var b_block = vec2(thread % 16u, thread / 16u % 4u) * 4u;
    if TRANSPOSED_B {
        b_block = vec2(thread / 4u % 16u, thread % 4u) * 4u;
    }
    let a_place = a_block.y * A_PITCH + a_block.x / 4u;
    let b_place = b_block.y * B_PITCH + b_block.x / 4u;
    let down = thread / 8u;
    let across = thread % 8u;

    // The sums of four rows in each half of the tile.
    var upper = Block();
    var lower = Block();
    let has_b = thread < 64u;
    let a_first = matmul_a_columns(tile, tile.row + a_block.x, tile.begin + a_block.y);
    var b_next = matmul_b_rows(tile, tile.column + b_block.x, tile.begin + b_block.y);
    keep(a_place, a_first, b_place, b_next, has_b);
    for (var k = tile.begin; k < tile.end; k += DEPTH) {
        // The next blocks are on their way while these are worked on. They are kept in the same round: what the next one
        // would need, compilers load there, and then wait for it.
        let a_next = matmul_a_columns(tile, tile.row + a_block.x, k + DEPTH + a_block.y);
        if has_b {
            b_next = matmul_b_rows(tile, tile.column + b_block.x, k + DEPTH + b_block.y);
        }
        // No loop: drivers keep one that is checked for its end, and each k then costs a third more.
        add_products(&upper, &lower, 0u, down, across);
        add_products(&upper, &lower, 1u, down, across);
        add_products(&upper, &lower, 2u, down, across);
        add_products(&upper, &lower, 3u, down, across);
        add_products(&upper, &lower, 4u, down, across);
        add_products(&upper, &lower, 5u, down, across);
        add_products(&upper, &lower, 6u, down, across);
        add_products(&upper, &lower, 7u, down, across);
        add_products(&upper, &lower, 8u, down, across);
        add_products(&upper, &lower, 9u, down, across);
        add_products(&upper, &lower, 10u, down, across);
        add_products(&upper, &lower, 11u, down, across);
        add_products(&upper, &lower, 12u, down, across);
        add_products(&upper, &lower, 13u, down, across);
        add_products(&upper, &lower, 14u, down, across);
        add_products(&upper, &lower, 15u, down, across);
        keep(a_place, a_next, b_place, b_next, has_b);
    }

    let column = tile.column + 4u * across;
    // A loop, so that the text of `store`, which may be long, is compiled once and not twice.
    for (var row = 4u * down; row < ROWS; row += ROWS / 2u) {
        matmul_store_block(tile, tile.row + row, column, column + COLUMNS / 2u, upper);
        upper = lower;
    }
}
