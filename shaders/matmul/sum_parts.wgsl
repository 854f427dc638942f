// y[i] = Σ_p parts[p, i], in the order of the parts.
//#import chain
//#import index

struct Sizes {
    parts: u32,
    elements: u32,
}

@group(0) @binding(0) var<storage, read> parts: array<vec4<f32>>; // [parts, elements]
@group(0) @binding(3) var<uniform> sizes: Sizes;

// Whether a thread sums four elements or one.
override VECTORS: bool = false;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let number = workgroup_index(group, groups) * 64u + thread;
    if VECTORS {
        let vectors = sizes.elements / 4u;
        if number < vectors {
            var sum = vec4<f32>();
            for (var p = 0u; p < sizes.parts; p++) {
                sum += parts[p * vectors + number];
            }
            store4(number * 4u, sum);
        }
    } else if number < sizes.elements {
        var sum = 0.0;
        for (var p = 0u; p < sizes.parts; p++) {
            let i = p * sizes.elements + number;
            sum += parts[i / 4u][i % 4u];
        }
        store(number, sum);
    }
}
