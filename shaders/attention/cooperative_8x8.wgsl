// y = softmax(scale·q·kᵀ + bias)·v and its gradients by cooperative matrices of 8 rows and columns.
//#enable wgpu_cooperative_matrix
//#import attention
//#import attention_cooperative
//#import attention_wait
//#import index

alias CoopLeft = coop_mat8x8<real, A>;
alias CoopRight = coop_mat8x8<real, B>;
alias CoopSums = coop_mat8x8<f32, C>;

// The tile becomes a product of what is staged, 16 columns of a and rows of b after another.
fn attention_product(factors: AttentionFactors, is_sum: bool, depth: u32, index: u32) {
    var s0 = CoopSums();
    var s1 = CoopSums();
    var s2 = CoopSums();
    var s3 = CoopSums();
    var s4 = CoopSums();
    var s5 = CoopSums();
    var s6 = CoopSums();
    var s7 = CoopSums();
    var t0 = CoopSums();
    var t1 = CoopSums();
    var t2 = CoopSums();
    var t3 = CoopSums();
    var t4 = CoopSums();
    var t5 = CoopSums();
    var t6 = CoopSums();
    var t7 = CoopSums();
    var u0 = CoopSums();
    var u1 = CoopSums();
    var u2 = CoopSums();
    var u3 = CoopSums();
    var u4 = CoopSums();
    var u5 = CoopSums();
    var u6 = CoopSums();
    var u7 = CoopSums();
    var v0 = CoopSums();
    var v1 = CoopSums();
    var v2 = CoopSums();
    var v3 = CoopSums();
    var v4 = CoopSums();
    var v5 = CoopSums();
    var v6 = CoopSums();
    var v7 = CoopSums();
    for (var l = 0u; l < depth; l += ATTENTION_DEPTH) {
        workgroupBarrier();
        attention_stage(factors, is_sum, l, index);
        workgroupBarrier();
        for (var k = 0u; k < ATTENTION_DEPTH; k += 8u) {
            let left_s = attention_left_square(band.row, k);
            let left_t = attention_left_square(band.row + 8u, k);
            let r0 = attention_right_square(0u, k);
            s0 = coopMultiplyAdd(left_s, r0, s0);
            t0 = coopMultiplyAdd(left_t, r0, t0);
            let r1 = attention_right_square(8u, k);
            s1 = coopMultiplyAdd(left_s, r1, s1);
            t1 = coopMultiplyAdd(left_t, r1, t1);
            let r2 = attention_right_square(16u, k);
            s2 = coopMultiplyAdd(left_s, r2, s2);
            t2 = coopMultiplyAdd(left_t, r2, t2);
            let r3 = attention_right_square(24u, k);
            s3 = coopMultiplyAdd(left_s, r3, s3);
            t3 = coopMultiplyAdd(left_t, r3, t3);
            let r4 = attention_right_square(32u, k);
            s4 = coopMultiplyAdd(left_s, r4, s4);
            t4 = coopMultiplyAdd(left_t, r4, t4);
            let r5 = attention_right_square(40u, k);
            s5 = coopMultiplyAdd(left_s, r5, s5);
            t5 = coopMultiplyAdd(left_t, r5, t5);
            let r6 = attention_right_square(48u, k);
            s6 = coopMultiplyAdd(left_s, r6, s6);
            t6 = coopMultiplyAdd(left_t, r6, t6);
            let r7 = attention_right_square(56u, k);
            s7 = coopMultiplyAdd(left_s, r7, s7);
            t7 = coopMultiplyAdd(left_t, r7, t7);
            if attention_subgroups.x == 1u {
                let left_u = attention_left_square(16u, k);
                let left_v = attention_left_square(16u + 8u, k);
                let r0 = attention_right_square(0u, k);
                u0 = coopMultiplyAdd(left_u, r0, u0);
                v0 = coopMultiplyAdd(left_v, r0, v0);
                let r1 = attention_right_square(8u, k);
                u1 = coopMultiplyAdd(left_u, r1, u1);
                v1 = coopMultiplyAdd(left_v, r1, v1);
                let r2 = attention_right_square(16u, k);
                u2 = coopMultiplyAdd(left_u, r2, u2);
                v2 = coopMultiplyAdd(left_v, r2, v2);
                let r3 = attention_right_square(24u, k);
                u3 = coopMultiplyAdd(left_u, r3, u3);
                v3 = coopMultiplyAdd(left_v, r3, v3);
                let r4 = attention_right_square(32u, k);
                u4 = coopMultiplyAdd(left_u, r4, u4);
                v4 = coopMultiplyAdd(left_v, r4, v4);
                let r5 = attention_right_square(40u, k);
                u5 = coopMultiplyAdd(left_u, r5, u5);
                v5 = coopMultiplyAdd(left_v, r5, v5);
                let r6 = attention_right_square(48u, k);
                u6 = coopMultiplyAdd(left_u, r6, u6);
                v6 = coopMultiplyAdd(left_v, r6, v6);
                let r7 = attention_right_square(56u, k);
                u7 = coopMultiplyAdd(left_u, r7, u7);
                v7 = coopMultiplyAdd(left_v, r7, v7);
            }
        }
    }
    if band.keeps {
        coopStoreT(s0, &attention_tile[band.row * ATTENTION_SIDE], ATTENTION_SIDE);
        coopStoreT(s1, &attention_tile[band.row * ATTENTION_SIDE + 8u], ATTENTION_SIDE);
        coopStoreT(s2, &attention_tile[band.row * ATTENTION_SIDE + 16u], ATTENTION_SIDE);
        coopStoreT(s3, &attention_tile[band.row * ATTENTION_SIDE + 24u], ATTENTION_SIDE);
        coopStoreT(s4, &attention_tile[band.row * ATTENTION_SIDE + 32u], ATTENTION_SIDE);
        coopStoreT(s5, &attention_tile[band.row * ATTENTION_SIDE + 40u], ATTENTION_SIDE);
        coopStoreT(s6, &attention_tile[band.row * ATTENTION_SIDE + 48u], ATTENTION_SIDE);
        coopStoreT(s7, &attention_tile[band.row * ATTENTION_SIDE + 56u], ATTENTION_SIDE);
        coopStoreT(t0, &attention_tile[(band.row + 8u) * ATTENTION_SIDE], ATTENTION_SIDE);
        coopStoreT(t1, &attention_tile[(band.row + 8u) * ATTENTION_SIDE + 8u], ATTENTION_SIDE);
        coopStoreT(t2, &attention_tile[(band.row + 8u) * ATTENTION_SIDE + 16u], ATTENTION_SIDE);
        coopStoreT(t3, &attention_tile[(band.row + 8u) * ATTENTION_SIDE + 24u], ATTENTION_SIDE);
        coopStoreT(t4, &attention_tile[(band.row + 8u) * ATTENTION_SIDE + 32u], ATTENTION_SIDE);
        coopStoreT(t5, &attention_tile[(band.row + 8u) * ATTENTION_SIDE + 40u], ATTENTION_SIDE);
        coopStoreT(t6, &attention_tile[(band.row + 8u) * ATTENTION_SIDE + 48u], ATTENTION_SIDE);
        coopStoreT(t7, &attention_tile[(band.row + 8u) * ATTENTION_SIDE + 56u], ATTENTION_SIDE);
    }
    if attention_subgroups.x == 1u {
        coopStoreT(u0, &attention_tile[16u * ATTENTION_SIDE], ATTENTION_SIDE);
        coopStoreT(u1, &attention_tile[16u * ATTENTION_SIDE + 8u], ATTENTION_SIDE);
        coopStoreT(u2, &attention_tile[16u * ATTENTION_SIDE + 16u], ATTENTION_SIDE);
        coopStoreT(u3, &attention_tile[16u * ATTENTION_SIDE + 24u], ATTENTION_SIDE);
        coopStoreT(u4, &attention_tile[16u * ATTENTION_SIDE + 32u], ATTENTION_SIDE);
        coopStoreT(u5, &attention_tile[16u * ATTENTION_SIDE + 40u], ATTENTION_SIDE);
        coopStoreT(u6, &attention_tile[16u * ATTENTION_SIDE + 48u], ATTENTION_SIDE);
        coopStoreT(u7, &attention_tile[16u * ATTENTION_SIDE + 56u], ATTENTION_SIDE);
        coopStoreT(v0, &attention_tile[24u * ATTENTION_SIDE], ATTENTION_SIDE);
        coopStoreT(v1, &attention_tile[24u * ATTENTION_SIDE + 8u], ATTENTION_SIDE);
        coopStoreT(v2, &attention_tile[24u * ATTENTION_SIDE + 16u], ATTENTION_SIDE);
        coopStoreT(v3, &attention_tile[24u * ATTENTION_SIDE + 24u], ATTENTION_SIDE);
        coopStoreT(v4, &attention_tile[24u * ATTENTION_SIDE + 32u], ATTENTION_SIDE);
        coopStoreT(v5, &attention_tile[24u * ATTENTION_SIDE + 40u], ATTENTION_SIDE);
        coopStoreT(v6, &attention_tile[24u * ATTENTION_SIDE + 48u], ATTENTION_SIDE);
        coopStoreT(v7, &attention_tile[24u * ATTENTION_SIDE + 56u], ATTENTION_SIDE);
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
