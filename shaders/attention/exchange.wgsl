// cache[b·K + j, h, t, c] ← cache[b·K + source[b·K + j], h, t, c] for j < K and t < seen[b·K + j], in place
//#import index
struct ExchangeSizes { count: u32, heads: u32, most: u32, width: u32, group: u32 }
@group(0) @binding(0) var<storage, read> source: array<u32>; // [B·K], below K
@group(0) @binding(1) var<storage, read> seen: array<u32>; // [B·K]
@group(0) @binding(2) var<storage, read_write> cache: array<real>; // [B·K, H, most, D]
@group(0) @binding(3) var<uniform> sizes: ExchangeSizes;

// A thread has the elements of all K sequences at one place of the cache.
@compute @workgroup_size(64)
fn exchange(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let i = workgroup_index(group, groups) * 64u + thread;
    if i >= sizes.count {
        return;
    }
    let row = sizes.heads * sizes.most * sizes.width;
    let first = i / row * sizes.group;
    let t = i / sizes.width % sizes.most;
    var moves = false;
    for (var j = 0u; j < sizes.group; j++) {
        moves = moves || (source[first + j] != j && t < seen[first + j]);
    }
    if !moves {
        return;
    }
    let at = first * row + i % row;
    var old: array<real, 32>;
    for (var j = 0u; j < sizes.group; j++) {
        old[j] = cache[at + j * row];
    }
    for (var j = 0u; j < sizes.group; j++) {
        if t < seen[first + j] {
            cache[at + j * row] = old[min(source[first + j], sizes.group - 1u)];
        }
    }
}
