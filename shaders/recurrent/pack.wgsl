// packed[k, column] = (w[column, 4k], …, w[column, 4k + 3]) of a matrix stored either way, zeros past its end
//#import index

struct Sizes {
    columns: u32,
    depth: u32,
    // Elements from one column of the matrix to the next, and from one k.
    by_column: u32,
    by_depth: u32,
}

@group(0) @binding(0) var<storage, read> w: array<real>; // [columns, depth] or [depth, columns]
@group(0) @binding(1) var<storage, read_write> packed: array<vec4<real>>; // [⌈depth/4⌉, columns]
@group(0) @binding(2) var<uniform> sizes: Sizes;

@compute @workgroup_size(64)
fn pack(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = workgroup_index(group, groups) * 64u + thread;
    let k = i / sizes.columns * 4u + vec4(0u, 1u, 2u, 3u);
    if k.x >= sizes.depth {
        return;
    }
    let at = i % sizes.columns * sizes.by_column + min(k, vec4(sizes.depth - 1u)) * sizes.by_depth;
    let values = vec4(w[at.x], w[at.y], w[at.z], w[at.w]);
    packed[i] = select(vec4<real>(), values, k < vec4(sizes.depth));
}
