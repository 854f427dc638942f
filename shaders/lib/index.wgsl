// The number of a workgroup in a dispatch that is folded over x and y.
fn workgroup_index(id: vec3<u32>, count: vec3<u32>) -> u32 {
    return id.y * count.x + id.x;
}
