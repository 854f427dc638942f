// How the threads of a workgroup wait for what others store, hand blocks to each other, and agree on a number from memory.
// A vector, so that what lies behind it begins at a multiple of 16 bytes.
var<workgroup> attention_word: vec4<u32>;

fn attention_wait() {
    workgroupBarrier();
}

fn attention_hand(block: Block, row: u32) {
    attention_share(block, row);
}

fn attention_same(x: u32, index: u32) -> u32 {
    workgroupBarrier();
    if index == 0u {
        attention_word = vec4(x);
    }
    return workgroupUniformLoad(&attention_word).x;
}
