// Sums, products, maxima and minima over the 64 threads of a workgroup: within each subgroup, then over these.
// How large subgroups are, and which threads form one, is left to the device.
//#import combine
//#import subgroup

override LANES: u32 = 64u;
override WIDTH: u32 = 64u;

// By the first thread of each subgroup, and which threads those are: the same in every call.
var<workgroup> tree_values: array<f32, 64>;
var<workgroup> tree_leaders: array<atomic<u32>, 2>;

// The values of all threads as one. All threads call it.
fn tree(kind: u32, thread: u32, value: f32) -> f32 {
    let own = tree_subgroup(kind, value);
    let leader = subgroupBroadcastFirst(thread);
    workgroupBarrier();
    if thread == leader {
        tree_values[thread] = own;
        atomicOr(&tree_leaders[thread / 32u], 1u << (thread % 32u));
    }
    workgroupBarrier();
    var total = 0.0;
    var is_first = true;
    for (var half = 0u; half < 2u; half++) {
        var leaders = atomicLoad(&tree_leaders[half]);
        while leaders != 0u {
            let next = tree_values[32u * half + firstTrailingBit(leaders)];
            total = select(combine(kind, total, next), next, is_first);
            is_first = false;
            leaders &= leaders - 1u;
        }
    }
    return total;
}
