// y[i] ← y[i] + x[i]: the sum over one more part of a batch that is larger than a binding
//#import index

struct Sizes {
    vectors: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<real>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4<real>>;
@group(0) @binding(2) var<uniform> sizes: Sizes;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = workgroup_index(group, groups) * 64u + thread;
    if i < sizes.vectors {
        y[i] = vec4<real>(vec4<f32>(y[i]) + vec4<f32>(x[i]));
    }
}
