// before[t] = h[t−1] in the order of a direction: h₀ where a sequence begins, 0 past its end
//#import index

struct Sizes {
    elements: u32,
    steps: u32,
    width: u32,
    reverse: u32,
    by_sequence: u32,
    by_time: u32,
    has_lengths: u32,
    has_initial: u32,
    // The first of the elements, and how many lie before those that are bound.
    first: u32,
    skipped: u32,
}

@group(0) @binding(0) var<storage, read> y: array<real>; // h: [rows, width]
@group(0) @binding(1) var<storage, read> h0: array<real>; // [sequences, width]
@group(0) @binding(2) var<storage, read> lengths: array<u32>; // [sequences]
@group(0) @binding(3) var<storage, read_write> before: array<real>; // [rows, width]
@group(0) @binding(4) var<uniform> p: Sizes;

@compute @workgroup_size(64)
fn previous(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let number = workgroup_index(group, groups) * 64u + thread;
    if number >= p.elements {
        return;
    }
    let i = p.first + number;
    let unit = i % p.width;
    let row = i / p.width;
    var sequence = row / p.by_sequence;
    var time = row % p.by_sequence;
    if p.by_time > 1u {
        sequence = row % p.by_time;
        time = row / p.by_time;
    }
    var length = p.steps;
    if p.has_lengths == 1u {
        length = min(length, lengths[sequence]);
    }
    var value = 0.0;
    if time < length {
        let begins = select(time == 0u, time + 1u == length, p.reverse == 1u);
        if !begins {
            let neighbour = select(time - 1u, time + 1u, p.reverse == 1u);
            value = f32(y[(sequence * p.by_sequence + neighbour * p.by_time) * p.width + unit - p.skipped]);
        } else if p.has_initial == 1u {
            value = f32(h0[sequence * p.width + unit]);
        }
    }
    before[i - p.skipped] = real(value);
}
