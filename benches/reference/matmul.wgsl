// y[i, j] = Σ_k a[i, k]·b[k, j] for 1024³: 8 rows and 8 columns a thread, a read as vectors along k
@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

const N = 1024u;

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let row = group.x / 16u * 8u;
    let column = group.x % 16u * 16u + thread * 2u;
    var left: array<vec4<f32>, 8>;
    var right: array<vec4<f32>, 8>;
    for (var k = 0u; k < N; k += 4u) {
        let b0 = b[k * (N / 4u) + column];
        let b1 = b[(k + 1u) * (N / 4u) + column];
        let b2 = b[(k + 2u) * (N / 4u) + column];
        let b3 = b[(k + 3u) * (N / 4u) + column];
        let c0 = b[k * (N / 4u) + column + 1u];
        let c1 = b[(k + 1u) * (N / 4u) + column + 1u];
        let c2 = b[(k + 2u) * (N / 4u) + column + 1u];
        let c3 = b[(k + 3u) * (N / 4u) + column + 1u];
        let a0 = a[((row + 0u) * N + k) / 4u];
        left[0] += a0.x * b0 + a0.y * b1 + a0.z * b2 + a0.w * b3;
        right[0] += a0.x * c0 + a0.y * c1 + a0.z * c2 + a0.w * c3;
        let a1 = a[((row + 1u) * N + k) / 4u];
        left[1] += a1.x * b0 + a1.y * b1 + a1.z * b2 + a1.w * b3;
        right[1] += a1.x * c0 + a1.y * c1 + a1.z * c2 + a1.w * c3;
        let a2 = a[((row + 2u) * N + k) / 4u];
        left[2] += a2.x * b0 + a2.y * b1 + a2.z * b2 + a2.w * b3;
        right[2] += a2.x * c0 + a2.y * c1 + a2.z * c2 + a2.w * c3;
        let a3 = a[((row + 3u) * N + k) / 4u];
        left[3] += a3.x * b0 + a3.y * b1 + a3.z * b2 + a3.w * b3;
        right[3] += a3.x * c0 + a3.y * c1 + a3.z * c2 + a3.w * c3;
        let a4 = a[((row + 4u) * N + k) / 4u];
        left[4] += a4.x * b0 + a4.y * b1 + a4.z * b2 + a4.w * b3;
        right[4] += a4.x * c0 + a4.y * c1 + a4.z * c2 + a4.w * c3;
        let a5 = a[((row + 5u) * N + k) / 4u];
        left[5] += a5.x * b0 + a5.y * b1 + a5.z * b2 + a5.w * b3;
        right[5] += a5.x * c0 + a5.y * c1 + a5.z * c2 + a5.w * c3;
        let a6 = a[((row + 6u) * N + k) / 4u];
        left[6] += a6.x * b0 + a6.y * b1 + a6.z * b2 + a6.w * b3;
        right[6] += a6.x * c0 + a6.y * c1 + a6.z * c2 + a6.w * c3;
        let a7 = a[((row + 7u) * N + k) / 4u];
        left[7] += a7.x * b0 + a7.y * b1 + a7.z * b2 + a7.w * b3;
        right[7] += a7.x * c0 + a7.y * c1 + a7.z * c2 + a7.w * c3;
    }
    y[(row + 0u) * (N / 4u) + column] = left[0];
    y[(row + 0u) * (N / 4u) + column + 1u] = right[0];
    y[(row + 1u) * (N / 4u) + column] = left[1];
    y[(row + 1u) * (N / 4u) + column + 1u] = right[1];
    y[(row + 2u) * (N / 4u) + column] = left[2];
    y[(row + 2u) * (N / 4u) + column + 1u] = right[2];
    y[(row + 3u) * (N / 4u) + column] = left[3];
    y[(row + 3u) * (N / 4u) + column + 1u] = right[3];
    y[(row + 4u) * (N / 4u) + column] = left[4];
    y[(row + 4u) * (N / 4u) + column + 1u] = right[4];
    y[(row + 5u) * (N / 4u) + column] = left[5];
    y[(row + 5u) * (N / 4u) + column + 1u] = right[5];
    y[(row + 6u) * (N / 4u) + column] = left[6];
    y[(row + 6u) * (N / 4u) + column + 1u] = right[6];
    y[(row + 7u) * (N / 4u) + column] = left[7];
    y[(row + 7u) * (N / 4u) + column + 1u] = right[7];
}
