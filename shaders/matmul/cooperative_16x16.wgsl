// y[i, j] = Σ_k a[i, k]·b[k, j] by cooperative matrices of 16 rows and columns.
//#enable wgpu_cooperative_matrix
//#import chain
//#import cooperative
//#import cooperative_matmul
//#import index

const SIDE = 16u;
alias CoopLeft = coop_mat16x16<real, A>;
alias CoopRight = coop_mat16x16<real, B>;
alias CoopSums = coop_mat16x16<f32, C>;

@compute @workgroup_size(COOP_THREADS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
) {
    let tile = matmul_tile(workgroup_index(group, groups), COOP_ROWS, COOP_COLUMNS);
    coop_product(tile, thread, subgroup, subgroups);
}
