// The eight hashes: a bit is set where a coefficient of the turned or mirrored picture exceeds the median of all 256.
// One workgroup per image, one invocation per coefficient. A transposition keeps the values and so the median: four medians serve eight.
// In: [16][16] floats. Out: eight hashes of eight words, least significant first, in the order of domain::hash::Transform::ALL; and in the
// fifth word behind them the least of the four gaps between the median and the next larger value.
// Plain twin: engines::hashing::plain::pdq_bits.

const FREQUENCIES: u32 = 16u;
const MEDIAN_RANK: u32 = 127u; // the lower of the two middle ones, as the reference takes it
const WORDS: u32 = 8u;

var<workgroup> values: array<f32, 256>;
var<workgroup> median: f32;
var<workgroup> above: f32;
var<workgroup> hashes: array<atomic<u32>, 64>;

// Sets the invocation's bit in the hash of `transform`.
fn mark(transform: u32, row: u32, column: u32) {
    let bit = row * FREQUENCIES + column;
    atomicOr(&hashes[transform * WORDS + bit / 32u], 1u << (bit % 32u));
}

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3<u32>) {
    let coefficient = bitcast<f32>(work[job(group.y, 8u) + lane]);
    let row = lane / FREQUENCIES;
    let column = lane % FREQUENCIES;
    if (lane < 8u * WORDS) {
        atomicStore(&hashes[lane], 0u);
    }
    var gap = 3.0e38; // more than any
    // Signs: as it stands, upside down, mirrored, both.
    for (var signs = 0u; signs < 4u; signs++) {
        var negative = false;
        switch signs {
            case 1u: { negative = row % 2u == 0u; }
            case 2u: { negative = column % 2u == 0u; }
            case 3u: { negative = (row + column) % 2u == 1u; }
            default: {}
        }
        let value = select(coefficient, -coefficient, negative);
        values[lane] = value;
        workgroupBarrier();
        // Equal values are told apart by their place, so exactly one invocation has the median's rank.
        var rank = 0u;
        for (var other = 0u; other < INVOCATIONS; other++) {
            if (values[other] < value || (values[other] == value && other < lane)) {
                rank++;
            }
        }
        if (rank == MEDIAN_RANK) {
            median = value;
        }
        if (rank == MEDIAN_RANK + 1u) {
            above = value;
        }
        workgroupBarrier();
        gap = min(gap, above - median);
        if (value > median) {
            switch signs {
                case 0u: { mark(0u, row, column); mark(6u, column, row); } // original, flip_plus1
                case 1u: { mark(4u, row, column); mark(3u, column, row); } // flip_x, rotate270
                case 2u: { mark(5u, row, column); mark(1u, column, row); } // flip_y, rotate90
                default: { mark(2u, row, column); mark(7u, column, row); } // rotate180, flip_minus1
            }
        }
        workgroupBarrier();
    }
    if (lane < 8u * WORDS) {
        work[job(group.y, 9u) + lane] = atomicLoad(&hashes[lane]);
    }
    if (lane == 0u) {
        work[job(group.y, 9u) + 68u] = bitcast<u32>(gap);
    }
}
