// Sums, products, maxima and minima over the threads of a workgroup, as a tree.
// A workgroup of WIDTH threads works on WIDTH / LANES rows.
//#import combine

override LANES: u32 = 64u;
override WIDTH: u32 = 64u;

var<workgroup> tree_values: array<f32, 64>;

// The values of the LANES neighbouring threads that work on one row, as one. All threads call it.
fn tree(kind: u32, thread: u32, value: f32) -> f32 {
    if LANES == 1u {
        return value;
    }
    workgroupBarrier();
    tree_values[thread] = value;
    workgroupBarrier();
    let lane = thread % LANES;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half {
            tree_values[thread] = combine(kind, tree_values[thread], tree_values[thread + half]);
        }
        workgroupBarrier();
    }
    return tree_values[thread - lane];
}
