// rows[i] = shared[at + i] for i = 0, 1, 2, 3 of each set, read by one lane each and broadcast
// Loads cost most on software drivers, of one number as much as of one for each lane.

// The number of a thread among eight of its subgroup; 8 where a subgroup has fewer.
fn recurrent_lane() -> u32 {
    return select(subgroupExclusiveAdd(1u) % 8u, 8u, subgroupAdd(1u) < 8u);
}

fn recurrent_rows(at: u32, lane: u32) -> Rows {
    var rows: Rows;
    if lane == 8u {
        rows.first = mat4x4(shared_rows[at], shared_rows[at + 1u], shared_rows[at + 2u], shared_rows[at + 3u]);
        if SETS > 1u {
            let i = at + space();
            rows.second = mat4x4(shared_rows[i], shared_rows[i + 1u], shared_rows[i + 2u], shared_rows[i + 3u]);
        }
        return rows;
    }
    let own = shared_rows[at + lane % 4u + lane / 4u % SETS * space()];
    rows.first = mat4x4(
        subgroupBroadcast(own, 0u), subgroupBroadcast(own, 1u), subgroupBroadcast(own, 2u), subgroupBroadcast(own, 3u));
    if SETS > 1u {
        rows.second = mat4x4(
            subgroupBroadcast(own, 4u), subgroupBroadcast(own, 5u), subgroupBroadcast(own, 6u), subgroupBroadcast(own, 7u));
    }
    return rows;
}
