// y[i, j] = Σ_k a[i, k]·b[k, j] by cooperative matrices of 8 rows and columns.
//#enable wgpu_cooperative_matrix
//#import cooperative
//#import matrix
//#import chain
//#import index

const SIDE = 8u;
alias CoopLeft = coop_mat8x8<real, A>;
alias CoopRight = coop_mat8x8<real, B>;
alias CoopSums = coop_mat8x8<f32, C>;

@compute @workgroup_size(COOP_THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
) {
    coop_product(workgroup_index(group, groups), thread, subgroup, subgroups);
}
