// y[b, k, m] = Σ x[b, c, m·stride + start + t·step] · w[k, c, t] in registers, for drivers whose barriers are slow.
//#import chain
//#import correlate
//#import index

fn packed_weights(at: u32) -> array<vec4<f32>, 8> {
    var weights = array<vec4<f32>, 8>();
    weights[0] = w[at];
    weights[1] = w[at + 1u];
    if OUTPUTS > 8u {
        weights[2] = w[at + 2u];
        weights[3] = w[at + 3u];
    }
    if OUTPUTS > 16u {
        weights[4] = w[at + 4u];
        weights[5] = w[at + 5u];
        weights[6] = w[at + 6u];
        weights[7] = w[at + 7u];
    }
    return weights;
}

@compute @workgroup_size(THREADS)
fn correlation(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    store_block(correlate(workgroup_index(group, groups), thread));
}

@compute @workgroup_size(THREADS)
fn partial_correlation(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    store_partial_block(correlate(workgroup_index(group, groups), thread));
}
