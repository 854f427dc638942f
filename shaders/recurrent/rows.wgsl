// rows[i] = shared[at + i] for i = 0, 1, 2, 3 of each set, read by every thread for itself

fn recurrent_lane() -> u32 {
    return 0u;
}

fn recurrent_rows(at: u32, lane: u32) -> Rows {
    var rows: Rows;
    rows.first = mat4x4(shared_rows[at], shared_rows[at + 1u], shared_rows[at + 2u], shared_rows[at + 3u]);
    if SETS > 1u {
        let i = at + space();
        rows.second = mat4x4(shared_rows[i], shared_rows[i + 1u], shared_rows[i + 2u], shared_rows[i + 3u]);
    }
    return rows;
}
