// beams ← the K best candidates that do not end; book ← the K best texts of score/penalty[length] that ended, and whence each token
//#import index
struct BeamSizes {
    batch: u32,
    beams: u32,
    candidates: u32,
    vocabulary: u32,
    most: u32,
    words: u32,
    early: u32,
    reach: u32, // 1 where texts may get better up to the longest, else 0
    ends: u32,
    end0: u32,
    end1: u32,
    end2: u32,
    end3: u32,
    end4: u32,
    end5: u32,
    end6: u32,
    end7: u32,
}
@group(0) @binding(0) var<storage, read> values: array<f32>; // [B, N], the largest first
@group(0) @binding(1) var<storage, read> indices: array<u32>; // [B, N], beam·V + token
@group(0) @binding(2) var<storage, read> penalty: array<f32>; // [most], of each length from 1
@group(0) @binding(3) var<storage, read_write> book: array<u32>; // [B, 2 + 4·K + 2·K·most]
@group(0) @binding(4) var<storage, read_write> token: array<u32>; // [B·K]
@group(0) @binding(5) var<storage, read_write> source: array<u32>; // [B·K]
@group(0) @binding(6) var<storage, read_write> score: array<f32>; // [B·K]
@group(0) @binding(7) var<storage, read_write> open: array<u32>; // [B]
@group(0) @binding(8) var<uniform> sizes: BeamSizes;

// Whether the book is a new one.
override FIRST: bool = false;

// A score below all others, for beams that have ended and texts that do not exist.
const NONE: f32 = -1e9;

fn is_end(id: u32) -> bool {
    let n = sizes.ends;
    return (n > 0u && id == sizes.end0) || (n > 1u && id == sizes.end1) || (n > 2u && id == sizes.end2)
        || (n > 3u && id == sizes.end3) || (n > 4u && id == sizes.end4) || (n > 5u && id == sizes.end5)
        || (n > 6u && id == sizes.end6) || (n > 7u && id == sizes.end7);
}

// Puts a text in front of those with a lower score; the worst leaves. Fields of a book: scores, lengths (0 where there is
// no text), parents and tokens of the texts, K each.
fn insert(texts: u32, value: f32, length: u32, parent: u32, id: u32) {
    let k = sizes.beams;
    var place = k;
    while place > 0u {
        let other = place - 1u;
        if book[texts + k + other] != 0u && value <= bitcast<f32>(book[texts + other]) {
            break;
        }
        if place < k {
            for (var field = 0u; field < 4u; field++) {
                book[texts + field * k + place] = book[texts + field * k + other];
            }
        }
        place = other;
    }
    if place < k {
        book[texts + place] = bitcast<u32>(value);
        book[texts + k + place] = length;
        book[texts + 2u * k + place] = parent;
        book[texts + 3u * k + place] = id;
    }
}

@compute @workgroup_size(64)
fn beam_search(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let b = workgroup_index(group, groups) * 64u + thread;
    if b >= sizes.batch {
        return;
    }
    let k = sizes.beams;
    let n = sizes.candidates;
    let base = b * sizes.words;
    let texts = base + 2u;
    if FIRST {
        for (var i = 0u; i < 2u + 4u * k; i++) {
            book[base + i] = 0u;
        }
    }
    let count = book[base];
    if count >= sizes.most {
        return;
    }
    let length = count + 1u;
    let is_last = length == sizes.most;
    var locked = book[base + 1u] != 0u;

    let was_full = book[texts + 2u * k - 1u] != 0u;
    if !locked && !(was_full && sizes.early != 0u) {
        for (var i = 0u; i < min(k, n); i++) {
            let at = indices[b * n + i];
            if is_last || is_end(at % sizes.vocabulary) {
                insert(texts, values[b * n + i] / penalty[count], length, at / sizes.vocabulary, at % sizes.vocabulary);
            }
        }
    }

    // Those that go on first; where these are too few, those that have ended follow.
    let history = texts + 4u * k + 2u * k * count;
    var beam = 0u;
    for (var pass = 0u; pass < 2u; pass++) {
        for (var i = 0u; i < n && beam < k; i++) {
            let at = indices[b * n + i];
            let id = at % sizes.vocabulary;
            let ended = is_last || is_end(id);
            if ended == (pass == 1u) {
                token[b * k + beam] = id;
                source[b * k + beam] = at / sizes.vocabulary;
                score[b * k + beam] = values[b * n + i] + select(0.0, NONE, ended);
                book[history + 2u * beam] = id;
                book[history + 2u * beam + 1u] = at / sizes.vocabulary;
                beam += 1u;
            }
        }
    }

    let full = book[texts + 2u * k - 1u] != 0u;
    let worst = select(NONE, bitcast<f32>(book[texts + k - 1u]), full);
    let reached = penalty[select(count, sizes.most - 1u, sizes.reach != 0u)];
    locked = locked || !(score[b * k] / reached > worst);
    book[base] = length;
    book[base + 1u] = u32(locked);
    open[b] = u32(!is_last && !locked && !(full && sizes.early != 0u));
}
