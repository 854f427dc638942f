// y = softmax(scale·q·kᵀ + bias)·v and its gradients on software drivers with subgroups.
// Eight lanes hold a tile of up to 16 rows in registers. Loads cost most there, so each number of the
// left factor is loaded by one lane and broadcast to the others.
//#import attention
//#import attention_lanes
//#import index

fn first_lanes(x: f32) -> vec4<f32> {
    return vec4(subgroupBroadcast(x, 0u), subgroupBroadcast(x, 1u), subgroupBroadcast(x, 2u), subgroupBroadcast(x, 3u));
}

// Subgroups have at least four lanes: the first four load a row each.
fn broadcast(x: vec4<f32>) -> array<vec4<f32>, 4> {
    return array(first_lanes(x.x), first_lanes(x.y), first_lanes(x.z), first_lanes(x.w));
}

fn attention_left(source: u32, rows: AttentionRows, row: u32, column: u32) -> array<vec4<f32>, 4> {
    return broadcast(attention_load(source, rows, row + lane % 4u, column));
}

fn attention_left_of_tile(row: u32, column: u32) -> array<vec4<f32>, 4> {
    return broadcast(attention_tile[(row + lane % 4u) * 16u + column / 4u]);
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
