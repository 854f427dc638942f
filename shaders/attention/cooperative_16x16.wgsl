// y = softmax(scale·q·kᵀ + bias)·v and its gradients by cooperative matrices of 16 rows and columns.
//#enable wgpu_cooperative_matrix
//#import attention
//#import attention_cooperative
//#import attention_wait
//#import index

alias CoopLeft = coop_mat16x16<real, A>;
alias CoopRight = coop_mat16x16<real, B>;
alias CoopSums = coop_mat16x16<f32, C>;

// The tile becomes a product of what is staged, 16 columns of a and rows of b after another.
fn attention_product(factors: AttentionFactors, is_sum: bool, depth: u32, index: u32) {
    var s0 = CoopSums();
    var s1 = CoopSums();
    var s2 = CoopSums();
    var s3 = CoopSums();
    var t0 = CoopSums();
    var t1 = CoopSums();
    var t2 = CoopSums();
    var t3 = CoopSums();
    for (var l = 0u; l < depth; l += ATTENTION_DEPTH) {
        workgroupBarrier();
        attention_stage(factors, is_sum, l, index);
        workgroupBarrier();
        let left_s = attention_left_square(band.row, 0u);
        let r0 = attention_right_square(0u, 0u);
        s0 = coopMultiplyAdd(left_s, r0, s0);
        let r1 = attention_right_square(16u, 0u);
        s1 = coopMultiplyAdd(left_s, r1, s1);
        let r2 = attention_right_square(32u, 0u);
        s2 = coopMultiplyAdd(left_s, r2, s2);
        let r3 = attention_right_square(48u, 0u);
        s3 = coopMultiplyAdd(left_s, r3, s3);
        if attention_subgroups.x == 1u {
            let left_t = attention_left_square(16u, 0u);
            let r0 = attention_right_square(0u, 0u);
            t0 = coopMultiplyAdd(left_t, r0, t0);
            let r1 = attention_right_square(16u, 0u);
            t1 = coopMultiplyAdd(left_t, r1, t1);
            let r2 = attention_right_square(32u, 0u);
            t2 = coopMultiplyAdd(left_t, r2, t2);
            let r3 = attention_right_square(48u, 0u);
            t3 = coopMultiplyAdd(left_t, r3, t3);
        }
    }
    if band.keeps {
        coopStoreT(s0, &attention_tile[band.row * ATTENTION_SIDE], ATTENTION_SIDE);
        coopStoreT(s1, &attention_tile[band.row * ATTENTION_SIDE + 16u], ATTENTION_SIDE);
        coopStoreT(s2, &attention_tile[band.row * ATTENTION_SIDE + 32u], ATTENTION_SIDE);
        coopStoreT(s3, &attention_tile[band.row * ATTENTION_SIDE + 48u], ATTENTION_SIDE);
    }
    if attention_subgroups.x == 1u {
        coopStoreT(t0, &attention_tile[16u * ATTENTION_SIDE], ATTENTION_SIDE);
        coopStoreT(t1, &attention_tile[16u * ATTENTION_SIDE + 16u], ATTENTION_SIDE);
        coopStoreT(t2, &attention_tile[16u * ATTENTION_SIDE + 32u], ATTENTION_SIDE);
        coopStoreT(t3, &attention_tile[16u * ATTENTION_SIDE + 48u], ATTENTION_SIDE);
    }
    workgroupBarrier();
}

@compute @workgroup_size(ATTENTION_THREADS)
fn forward(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
) {
    attention_stand(index, subgroup, subgroups);
    attention_forward(workgroup_index(group, groups), index);
}

@compute @workgroup_size(ATTENTION_THREADS)
fn backward_q(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
) {
    attention_stand(index, subgroup, subgroups);
    attention_backward_q(workgroup_index(group, groups), index);
}

@compute @workgroup_size(ATTENTION_THREADS)
fn backward_kv(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
) {
    attention_stand(index, subgroup, subgroups);
    attention_backward_kv(workgroup_index(group, groups), index);
}

@compute @workgroup_size(ATTENTION_THREADS)
fn backward_bias(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
) {
    attention_stand(index, subgroup, subgroups);
    attention_backward_bias(workgroup_index(group, groups), index);
}
