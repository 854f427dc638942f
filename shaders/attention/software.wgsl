// y = softmax(scale·q·kᵀ + bias)·v and its gradients on software drivers without subgroups.
// Eight threads hold a tile of up to 16 rows in registers.
//#import attention
//#import attention_lanes
//#import attention_wait
//#import attention_tile
//#import index

fn attention_left(source: u32, rows: AttentionRows, row: u32, column: u32) -> AttentionColumns {
    return AttentionColumns(
        attention_turned(attention_square(source, rows, row, column)),
        attention_turned(attention_square(source, rows, row + 4u, column)));
}

fn attention_left_of_tile(row: u32, column: u32) -> AttentionColumns {
    return AttentionColumns(
        attention_turned(attention_square_of_tile(row, column)), attention_turned(attention_square_of_tile(row + 4u, column)));
}

@compute @workgroup_size(8)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    attention_stand(index);
    attention_forward(workgroup_index(group, groups), index);
}

@compute @workgroup_size(8)
fn backward_q(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    attention_stand(index);
    attention_backward_q(workgroup_index(group, groups), index);
}

@compute @workgroup_size(8)
fn backward_kv(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    attention_stand(index);
    attention_backward_kv(workgroup_index(group, groups), index);
}

@compute @workgroup_size(8)
fn backward_bias(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    attention_stand(index);
    attention_backward_bias(workgroup_index(group, groups), index);
}
