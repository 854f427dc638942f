// What lib/cooperative multiplies in matmul.
//#import matrix

alias CoopTile = MatmulTile;
const COOP_B_LENGTH = COOP_COLUMNS * COOP_K_PITCH;

fn coop_prepare(tile: CoopTile, k: u32, thread: u32) {}

fn coop_a(tile: CoopTile, row: u32, k: u32) -> vec4<f32> {
    return matmul_a(tile, tile.row + row, k);
}

fn coop_b(tile: CoopTile, column: u32, k: u32) -> vec4<f32> {
    return matmul_b(tile, tile.column + column, k);
}

fn coop_store(tile: CoopTile, row: u32, column: u32, sums: vec4<f32>) {
    matmul_store(tile, tile.row + row, tile.column + column, sums);
}
