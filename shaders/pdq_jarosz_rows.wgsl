// Luma, and the row operator: two box passes and the decimation to 64 columns as one weighted sum.
// A workgroup takes a few rows, or a part of a long one, in two steps: luma of all their pixels into its own memory, which neighbouring
// invocations read from neighbouring bytes; then the sums, whose taps overlap.
// In: RGB bytes. Out: [height][64] floats, 0..=255. Plain twin: engines::hashing::plain::pdq_jarosz_rows.

const SIDE: u32 = 64u;
const LUMA: vec3<f32> = vec3<f32>(0.299, 0.587, 0.114);

// Pixels that fit, and the words they take: as in src/engines/hashing/band.rs. 16,352 bytes are the portable floor.
var<workgroup> luma: array<f32, 4083>;

// A word is left out after each 32, so that pixels which are a multiple of 32 apart do not all lie in one bank of the memory.
fn place(pixel: u32) -> u32 {
    return pixel + pixel / 32u;
}

@compute @workgroup_size(256)
fn main(
    @builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>,
) {
    let pixel_word = job(group.y, 0u);
    let width = job(group.y, 1u);
    let height = job(group.y, 2u);
    let table = job(group.y, 3u);
    let to = job(group.y, 5u);
    // Rows and columns of a part; columns are a divisor of 64.
    let rows = job(group.y, 11u);
    let columns = job(group.y, 12u);
    let parts = SIDE / columns;
    for (var unit = group.x; unit < parts * ((height + rows - 1u) / rows); unit += groups.x) {
        let top = unit / parts * rows;
        let count = min(rows, height - top);
        let left = unit % parts * columns;
        let first = taps(table, SIDE, left).start;
        let last = taps(table, SIDE, left + columns - 1u);
        let span = last.start + last.count - first;
        for (var at = lane; at < count * span; at += INVOCATIONS) {
            let pixel = (top + at / span) * width + first + at % span;
            luma[place(at)] = dot(LUMA, vec3<f32>(rgb(pixel_word, pixel)));
        }
        workgroupBarrier();
        for (var item = lane; item < count * columns; item += INVOCATIONS) {
            let column = left + item % columns;
            let output = taps(table, SIDE, column);
            let source = item / columns * span + output.start - first;
            var sum = 0.0;
            for (var tap = 0u; tap < output.count; tap++) {
                sum += luma[place(source + tap)] * bitcast<f32>(tables[output.weights + tap * output.step]);
            }
            work[to + (top + item / columns) * SIDE + column] = bitcast<u32>(sum);
        }
        workgroupBarrier();
    }
}
