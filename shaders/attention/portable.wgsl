// y = softmax(scale·q·kᵀ + bias)·v and its gradients on GPUs, in tiles of 32 rows and 64 columns.
// 64 threads bring 16 columns of both factors to workgroup memory; each thread sums 4×8 numbers from there.
//#import attention
//#import attention_wait
//#import attention_tile
//#import index

const ATTENTION_THREADS = 64u;
const ATTENTION_ROWS = 32u;
const ATTENTION_BLOCKS = 1u;

const DEPTH = 16u;
// Vectors from one of the 16 to the next, one more than there are so that threads hit different memory banks.
const A_PITCH = ATTENTION_ROWS / 4u + 1u;
const B_PITCH = ATTENTION_SIDE / 4u + 1u;

var<workgroup> a_staged: array<vec4<f32>, DEPTH * A_PITCH>;
var<workgroup> b_staged: array<vec4<f32>, DEPTH * B_PITCH>;

fn attention_stand(index: u32) {
    let across = index % 8u;
    thread = AttentionThread(index / 8u * 4u, across, 4u * across, 4u * across + 32u);
}

// Four rows of four numbers, zeros past the last column.
fn attention_block(source: u32, rows: AttentionRows, row: u32, column: u32) -> array<vec4<f32>, 4> {
    if column >= rows.width {
        return array<vec4<f32>, 4>();
    }
    return attention_square(source, rows, row, column);
}

// a·bᵀ for the rows of a from `row` on and those of b from `column` on.
fn attention_scores(
    of_a: u32, a: AttentionRows, row: u32, of_b: u32, b: AttentionRows, column: u32, index: u32,
) -> AttentionTile {
    var sums = Block();
    // Each thread brings a 4×4 block of b, and every second one of a; neighbouring threads read neighbouring memory.
    let place = vec2(index / 4u, index % 4u * 4u);
    for (var d = 0u; d < a.width; d += DEPTH) {
        workgroupBarrier();
        let from_b = attention_turned(attention_block(of_b, b, column + 4u * place.x, d + place.y));
        let to_b = place.y * B_PITCH + place.x;
        b_staged[to_b] = from_b[0];
        b_staged[to_b + B_PITCH] = from_b[1];
        b_staged[to_b + 2u * B_PITCH] = from_b[2];
        b_staged[to_b + 3u * B_PITCH] = from_b[3];
        if index < 32u {
            let from_a = attention_turned(attention_block(of_a, a, row + 4u * place.x, d + place.y));
            let to_a = place.y * A_PITCH + place.x;
            a_staged[to_a] = from_a[0];
            a_staged[to_a + A_PITCH] = from_a[1];
            a_staged[to_a + 2u * A_PITCH] = from_a[2];
            a_staged[to_a + 3u * A_PITCH] = from_a[3];
        }
        workgroupBarrier();
        for (var l = 0u; l < DEPTH; l++) {
            let j = l * B_PITCH + thread.across;
            block_add(&sums, a_staged[l * A_PITCH + thread.row / 4u], b_staged[j], b_staged[j + 8u]);
        }
    }
    return AttentionTile(sums, Block(), Block(), Block());
}

// sums + tile·b for the rows of b from `row` on, and its columns from `column` on.
fn attention_accumulate(
    sums: AttentionTile, of_b: u32, b: AttentionRows, row: u32, column: u32, index: u32,
) -> AttentionTile {
    var block = sums.a;
    let place = vec2(index / 16u * 4u, index % 16u);
    let to_b = place.x * B_PITCH + place.y;
    for (var l = 0u; l < min(ATTENTION_SIDE, b.count - row); l += DEPTH) {
        workgroupBarrier();
        let from_b = attention_square(of_b, b, row + l + place.x, column + 4u * place.y);
        b_staged[to_b] = from_b[0];
        b_staged[to_b + B_PITCH] = from_b[1];
        b_staged[to_b + 2u * B_PITCH] = from_b[2];
        b_staged[to_b + 3u * B_PITCH] = from_b[3];
        workgroupBarrier();
        for (var i = 0u; i < DEPTH; i += 4u) {
            let p = attention_turned(attention_square_of_tile(thread.row, l + i));
            let j = i * B_PITCH + thread.across;
            block_add(&block, p[0], b_staged[j], b_staged[j + 8u]);
            block_add(&block, p[1], b_staged[j + B_PITCH], b_staged[j + B_PITCH + 8u]);
            block_add(&block, p[2], b_staged[j + 2u * B_PITCH], b_staged[j + 2u * B_PITCH + 8u]);
            block_add(&block, p[3], b_staged[j + 3u * B_PITCH], b_staged[j + 3u * B_PITCH + 8u]);
        }
    }
    return AttentionTile(block, sums.b, sums.c, sums.d);
}

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    attention_stand(index);
    attention_forward(workgroup_index(group, groups), index);
}

@compute @workgroup_size(64)
fn backward_q(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    attention_stand(index);
    attention_backward_q(workgroup_index(group, groups), index);
}

@compute @workgroup_size(64)
fn backward_kv(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    attention_stand(index);
    attention_backward_kv(workgroup_index(group, groups), index);
}

@compute @workgroup_size(64)
fn backward_bias(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    attention_stand(index);
    attention_backward_bias(workgroup_index(group, groups), index);
}
