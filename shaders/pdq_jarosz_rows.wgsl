// Luma, and the row operator: two box passes and the decimation to 64 columns as one weighted sum.
// In: RGB bytes. Out: [height][64] floats, 0..=255. Plain twin: engines::hashing::plain::pdq_jarosz_rows.

const SIDE: u32 = 64u;
const LUMA: vec3<f32> = vec3<f32>(0.299, 0.587, 0.114);

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let pixel_word = job(id.y, 0u);
    let width = job(id.y, 1u);
    let table = job(id.y, 3u);
    let to = job(id.y, 5u);
    let items = SIDE * job(id.y, 2u);
    for (var item = id.x; item < items; item += groups.x * INVOCATIONS) {
        let output = taps(table, SIDE, item % SIDE);
        let source = (item / SIDE) * width + output.start;
        var sum = 0.0;
        for (var tap = 0u; tap < output.count; tap++) {
            sum += dot(LUMA, vec3<f32>(rgb(pixel_word, source + tap))) * bitcast<f32>(tables[output.weights + tap]);
        }
        work[to + item] = bitcast<u32>(sum);
    }
}
