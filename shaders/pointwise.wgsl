// y[i] = f(x0[i], x1[i], …): the loop around every fused chain of pointwise operations.
// The chain's text declares the buffers and `chain(i)`, which computes the i-th vector (or number).
//#import chain
//#import index

const THREADS = 64u;
// Vectors per thread: neighbours where a thread is a processor lane, strided where threads load together.
const VECTORS = 4u;
override NEIGHBOURS: bool = false;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let block = workgroup_index(group, groups) * THREADS * VECTORS;
    let first = block + select(thread, thread * VECTORS, NEIGHBOURS);
    let length = chain_length();
    if NEIGHBOURS {
        // Mesa's software driver would copy what is in a loop whose length it knows.
        for (var i = first; i < min(first + VECTORS, length); i++) {
            chain(i);
        }
        return;
    }
    for (var v = 0u; v < VECTORS; v++) {
        let i = first + v * THREADS;
        if i < length {
            chain(i);
        }
    }
}
