// cache[b, h, at[b] + t, c] = x[b, h, t, c], in place; rows past the cache's last are dropped
//#import index
struct AppendSizes { count: u32, heads: u32, rows: u32, width: u32, most: u32, positions: u32 }
@group(0) @binding(0) var<storage, read> x: array<real>; // [B, H, T, D]
@group(0) @binding(1) var<storage, read> at: array<u32>; // [positions], B or 1
@group(0) @binding(2) var<storage, read_write> cache: array<real>; // [B, H, most, D]
@group(0) @binding(3) var<uniform> sizes: AppendSizes;

@compute @workgroup_size(64)
fn append(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = workgroup_index(group, groups) * 64u + thread;
    if i >= sizes.count {
        return;
    }
    let c = i % sizes.width;
    let t = i / sizes.width % sizes.rows;
    let head = i / sizes.width / sizes.rows;
    let row = at[head / sizes.heads % sizes.positions] + t;
    // A position near 2³² wraps around.
    if row < sizes.most && row >= t {
        cache[(head * sizes.most + row) * sizes.width + c] = x[i];
    }
}
