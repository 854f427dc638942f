// y[i] = f(x0[i], x1[i], …): the loop around every fused chain of pointwise operations.
// The chain's text declares the buffers and `chain(i)`, which computes the i-th vector (or number).
//#import chain
//#import index

const THREADS = 64u;
// Vectors of a thread of a GPU; those of a software driver's are `chain_vectors`.
const VECTORS = 4u;
// Whether threads are the lanes of a processor, eight of which read and write neighbours.
override LANES: bool = false;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let number = workgroup_index(group, groups);
    let length = chain_length();
    if LANES {
        // To begin costs a lane as much as a vector or two. Mesa's driver would copy what is in a loop whose length it knows.
        let vectors = chain_vectors();
        let first = (number * THREADS + thread / 8u * 8u) * vectors + thread % 8u;
        for (var i = first; i < min(first + 8u * vectors, length); i += 8u) {
            chain(i);
        }
        return;
    }
    for (var v = 0u; v < VECTORS; v++) {
        let i = (number * VECTORS + v) * THREADS + thread;
        if i < length {
            chain(i);
        }
    }
}
