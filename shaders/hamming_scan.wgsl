// Every pair of a resident hash and a query that differ in at most the query's radius of bits. One job per group of queries.
// In: hashes in tiles of 256, word by word ([tile][8][256] words), so that an invocation's neighbours read its word's neighbours.
// Queries: 8 words and a radius each. Out: the number of pairs, then for each of the first `capacity` of them hash number, query number, distance, in no
// order. The number counts on when there is no more room, so the processor knows how much to give. A job without hashes sets the number to 0.
// Plain twin: engines::matching::plain::hamming_scan.

const WORDS: u32 = 8u;
const QUERY_WORDS: u32 = 9u;
const HIT_WORDS: u32 = 3u;

// The work buffer as atomics.
@group(0) @binding(3) var<storage, read_write> hits: array<atomic<u32>>;

var<workgroup> queries: array<vec4<u32>, 512>;
var<workgroup> radii: array<u32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
) {
    let first = job(group.y, 0u); // tile
    let hashes = job(group.y, 1u); // from there on
    let table = job(group.y, 2u);
    let asked = job(group.y, 3u); // at most 256
    let number = job(group.y, 4u); // of the first query
    let out = job(group.y, 5u);
    let capacity = job(group.y, 6u);
    if (hashes == 0u && lane == 0u) {
        atomicStore(&hits[out], 0u);
    }
    if (lane < asked) {
        let at = table + QUERY_WORDS * lane;
        queries[2u * lane] = vec4<u32>(tables[at], tables[at + 1u], tables[at + 2u], tables[at + 3u]);
        queries[2u * lane + 1u] = vec4<u32>(tables[at + 4u], tables[at + 5u], tables[at + 6u], tables[at + 7u]);
        radii[lane] = tables[at + 8u];
    }
    workgroupBarrier();
    for (var tile = group.x; tile * INVOCATIONS + lane < hashes; tile += groups.x) {
        let at = (first + tile) * WORDS * INVOCATIONS + lane;
        let low = vec4<u32>(pixels[at], pixels[at + INVOCATIONS], pixels[at + 2u * INVOCATIONS], pixels[at + 3u * INVOCATIONS]);
        let high = vec4<u32>(
            pixels[at + 4u * INVOCATIONS], pixels[at + 5u * INVOCATIONS], pixels[at + 6u * INVOCATIONS], pixels[at + 7u * INVOCATIONS],
        );
        for (var query = 0u; query < asked; query++) {
            let bits = countOneBits(low ^ queries[2u * query]) + countOneBits(high ^ queries[2u * query + 1u]);
            let distance = bits.x + bits.y + bits.z + bits.w;
            if (distance <= radii[query]) {
                let slot = atomicAdd(&hits[out], 1u);
                if (slot < capacity) {
                    let hit = out + 1u + HIT_WORDS * slot;
                    atomicStore(&hits[hit], (first + tile) * INVOCATIONS + lane);
                    atomicStore(&hits[hit + 1u], number + query);
                    atomicStore(&hits[hit + 2u], distance);
                }
            }
        }
    }
}
