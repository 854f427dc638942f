// Sums, products, maxima and minima over the threads of a workgroup that is one subgroup, as eight are on software drivers:
// without memory that they share and without barriers, of which Mesa's makes coroutines.
//#import subgroup

override LANES: u32 = 8u;
override WIDTH: u32 = 8u;

// The values of all threads as one. All threads call it.
fn tree(kind: u32, thread: u32, value: f32) -> f32 {
    return tree_subgroup(kind, value);
}
