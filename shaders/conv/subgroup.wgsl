// y[b, k, m] = Σ x[b, c, m·stride + start + t·step] · w[k, c, t] in registers, the weights loaded once per subgroup.
//#import chain
//#import correlate
//#import index

var<private> lane: u32;
var<private> lanes: u32;

// Lane i loads the i-th four of the weights and hands them to the others. A processor loads one lane after the other,
// from one address as from many, so this is one load instead of eight.
fn packed_weights(at: u32) -> array<vec4<f32>, 8> {
    let near = w[at + lane % min(lanes, OUTPUTS / 4u)];
    if lanes >= 8u || OUTPUTS <= 16u {
        return array<vec4<f32>, 8>(
            subgroupBroadcast(near, 0u), subgroupBroadcast(near, 1u), subgroupBroadcast(near, 2u), subgroupBroadcast(near, 3u),
            subgroupBroadcast(near, 4u), subgroupBroadcast(near, 5u), subgroupBroadcast(near, 6u), subgroupBroadcast(near, 7u),
        );
    }
    // Subgroups have at least four lanes.
    let far = w[at + 4u + lane % 4u];
    return array<vec4<f32>, 8>(
        subgroupBroadcast(near, 0u), subgroupBroadcast(near, 1u), subgroupBroadcast(near, 2u), subgroupBroadcast(near, 3u),
        subgroupBroadcast(far, 0u), subgroupBroadcast(far, 1u), subgroupBroadcast(far, 2u), subgroupBroadcast(far, 3u),
    );
}

@compute @workgroup_size(THREADS)
fn correlation(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
    @builtin(subgroup_invocation_id) number: u32,
    @builtin(subgroup_size) count: u32,
) {
    lane = number;
    lanes = count;
    store_block(correlate(workgroup_index(group, groups), thread));
}

@compute @workgroup_size(THREADS)
fn partial_correlation(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
    @builtin(subgroup_invocation_id) number: u32,
    @builtin(subgroup_size) count: u32,
) {
    lane = number;
    lanes = count;
    store_partial_block(correlate(workgroup_index(group, groups), thread));
}
