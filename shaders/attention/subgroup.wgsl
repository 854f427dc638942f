// y = softmax(scale·q·kᵀ + bias)·v and its gradients on software drivers with subgroups.
// Eight lanes hold a tile of up to 16 rows in registers. Loads cost most there, so each number of the
// left factor is loaded by one lane and broadcast to the others, or taken from the lane that computed it.
// The eight are one subgroup, which these drivers run as one vector: what one lane stores, in the gradient of a bias,
// the others load without waiting. A barrier would make coroutines of the kernel, which then takes twice the time.
//#import attention
//#import attention_lanes
//#import attention_tile
//#import index

fn first_lanes(x: f32) -> vec4<f32> {
    return vec4(subgroupBroadcast(x, 0u), subgroupBroadcast(x, 1u), subgroupBroadcast(x, 2u), subgroupBroadcast(x, 3u));
}

fn next_lanes(x: f32) -> vec4<f32> {
    return vec4(subgroupBroadcast(x, 4u), subgroupBroadcast(x, 5u), subgroupBroadcast(x, 6u), subgroupBroadcast(x, 7u));
}

// Each lane has a row.
fn broadcast(x: vec4<f32>) -> AttentionColumns {
    return AttentionColumns(
        array(first_lanes(x.x), first_lanes(x.y), first_lanes(x.z), first_lanes(x.w)),
        array(next_lanes(x.x), next_lanes(x.y), next_lanes(x.z), next_lanes(x.w)),
    );
}

fn attention_left(source: u32, rows: AttentionRows, row: u32, column: u32) -> AttentionColumns {
    return broadcast(attention_load(source, rows, row + lane % 8u, column));
}

// The blocks that all lanes multiply next, each with eight columns of its own.
var<private> handed: AttentionTile;

fn attention_hand(block: Block, row: u32) {
    handed = attention_next(handed, block);
}

// Four columns of a block, from the lane that holds them.
fn from_lane(block: Block, column: u32) -> array<vec4<f32>, 4> {
    let right = column % 8u >= 4u;
    let holder = column / 8u;
    return attention_turned(array(
        subgroupShuffle(select(block[0], block[1], right), holder), subgroupShuffle(select(block[2], block[3], right), holder),
        subgroupShuffle(select(block[4], block[5], right), holder), subgroupShuffle(select(block[6], block[7], right), holder)));
}

fn attention_left_of_tile(row: u32, column: u32) -> AttentionColumns {
    if row == 0u {
        return AttentionColumns(from_lane(handed.a, column), from_lane(handed.b, column));
    }
    return AttentionColumns(from_lane(handed.c, column), from_lane(handed.d, column));
}

fn attention_wait() {}

fn attention_same(x: u32, index: u32) -> u32 {
    return x;
}

var<private> lane: u32;

@compute @workgroup_size(8)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
    @builtin(subgroup_invocation_id) lane_index: u32,
) {
    lane = lane_index;
    attention_stand(index);
    attention_forward(workgroup_index(group, groups), index);
}

@compute @workgroup_size(8)
fn backward_q(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
    @builtin(subgroup_invocation_id) lane_index: u32,
) {
    lane = lane_index;
    attention_stand(index);
    attention_backward_q(workgroup_index(group, groups), index);
}

@compute @workgroup_size(8)
fn backward_kv(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
    @builtin(subgroup_invocation_id) lane_index: u32,
) {
    lane = lane_index;
    attention_stand(index);
    attention_backward_kv(workgroup_index(group, groups), index);
}

@compute @workgroup_size(8)
fn backward_bias(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
    @builtin(subgroup_invocation_id) lane_index: u32,
) {
    lane = lane_index;
    attention_stand(index);
    attention_backward_bias(workgroup_index(group, groups), index);
}
