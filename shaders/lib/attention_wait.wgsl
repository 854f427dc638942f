// How the threads of a workgroup wait for what others store, and agree on a number from memory.
var<workgroup> attention_word: u32;

fn attention_wait() {
    workgroupBarrier();
}

fn attention_same(x: u32, index: u32) -> u32 {
    workgroupBarrier();
    if index == 0u {
        attention_word = x;
    }
    return workgroupUniformLoad(&attention_word);
}
