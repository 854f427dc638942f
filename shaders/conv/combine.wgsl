// y[i] = Σ partial[part, i] over the parts of a sum.
//#import chain
//#import index

// [parts, elements]
@group(0) @binding(0) var<storage, read> partial: array<f32>;
// [elements]
@group(0) @binding(1) var<storage, read_write> y: array<real>;

struct Sizes {
    elements: u32,
    parts: u32,
}
@group(0) @binding(2) var<uniform> sizes: Sizes;

const THREADS = 64u;

@compute @workgroup_size(THREADS)
fn combine(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = workgroup_index(group, groups) * THREADS + thread;
    if i >= sizes.elements {
        return;
    }
    var sum = 0.0;
    for (var part = 0u; part < sizes.parts; part++) {
        sum += partial[part * sizes.elements + i];
    }
    store(i, sum);
}
