// y[o, i] = x[o, t[o, i], i] for the class t of each row; 0 for the ignored class, NaN for one that does not exist
//#import chain
//#import index

struct Params {
    rows: u32,
    classes: u32,
    // 0 where all rows share one x.
    inner: u32,
    // Whether there is a class of rows that do not count, and which.
    ignores: u32,
    ignored: u32,
}

@group(0) @binding(0) var<storage, read> x: array<real>; // [outer, classes, inner] or [classes]
@group(0) @binding(1) var<storage, read> t: array<u32>; // [outer, inner]
@group(0) @binding(2) var<storage, read_write> y: array<real>; // [outer, inner]
@group(0) @binding(15) var<uniform> p: Params;

@compute @workgroup_size(64)
fn pick(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = workgroup_index(group, groups) * 64u + thread;
    if row >= p.rows {
        return;
    }
    let k = t[row];
    var value = 0.0;
    if p.ignores == 0u || k != p.ignored {
        if k >= p.classes {
            // There is no constant for NaN.
            value = bitcast<f32>(0x7fc00000u | (row & 1u));
        } else if p.inner == 0u {
            value = f32(x[k]);
        } else {
            value = f32(x[(row / p.inner * p.classes + k) * p.inner + row % p.inner]);
        }
    }
    store(row, value);
}
