// tmp
//#import chain
//#import index
struct P { m: u32, n: u32, k: u32, am: u32, ak: u32, bk: u32, bn: u32 }
@group(0) @binding(0) var<storage, read> a: array<real>;
@group(0) @binding(1) var<storage, read> b: array<real>;
@group(0) @binding(2) var<storage, read_write> y: array<real>;
@group(0) @binding(3) var<uniform> p: P;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) w: vec3<u32>, @builtin(num_workgroups) n: vec3<u32>, @builtin(local_invocation_index) t: u32) {
  let i = workgroup_index(w, n) * 64u + t; if i >= p.m * p.n { return; }
  let r = i / p.n; let c = i % p.n; var s = 0.0;
  for (var k = 0u; k < p.k; k++) { s += f32(a[r*p.am + k*p.ak]) * f32(b[k*p.bk + c*p.bn]); }
  store(i, s);
}
