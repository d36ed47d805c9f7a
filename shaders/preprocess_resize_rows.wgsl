// Horizontal pass of the resize, for the source rows and output columns that the crop needs.
// In: RGB bytes. Out: [rows][output width], one word per pixel. Integer arithmetic, exact.
// Plain twin: engines::preprocess::plain::preprocess_resize_rows.

const HALF: i32 = 2097152; // 2^21: rounds at 22 fraction bits

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let pixel_word = job(id.y, 0u);
    let source_width = job(id.y, 1u);
    let first_row = job(id.y, 2u);
    let table = job(id.y, 4u);
    let to = job(id.y, 6u);
    let width = job(id.y, 10u);
    let items = job(id.y, 3u) * width;
    for (var item = id.x; item < items; item += groups.x * INVOCATIONS) {
        let output = taps(table, width, item % width);
        let source = (first_row + item / width) * source_width + output.start;
        var sum = vec3<i32>(HALF);
        for (var tap = 0u; tap < output.count; tap++) {
            sum += vec3<i32>(rgb(pixel_word, source + tap)) * i32(tables[output.weights + tap]);
        }
        let value = vec3<u32>(clamp(sum >> vec3<u32>(22u), vec3<i32>(0), vec3<i32>(255)));
        work[to + item] = value.x | (value.y << 8u) | (value.z << 16u);
    }
}
