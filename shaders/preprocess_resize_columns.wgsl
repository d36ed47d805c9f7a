// Vertical pass of the resize, for the output rows and columns ("lines") that the crop needs.
// In: the words of the rows pass, or RGB bytes where this runs first. Out: [outputs][lines], one word per pixel.
// Integer arithmetic, exact. Plain twin: engines::preprocess::plain::preprocess_resize_columns.

const HALF: i32 = 2097152; // 2^21: rounds at 22 fraction bits

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let source = job(id.y, 0u);
    let first = job(id.y, 1u);
    let stride = job(id.y, 2u);
    let table = job(id.y, 3u);
    let outputs = job(id.y, 4u);
    let lines = job(id.y, 5u);
    let offset = job(id.y, 6u);
    let to = job(id.y, 7u);
    let items = outputs * lines;
    for (var item = id.x; item < items; item += groups.x * INVOCATIONS) {
        let output = taps(table, outputs, item / lines);
        let start = offset + output.start * stride + item % lines;
        var sum = vec3<i32>(HALF);
        for (var tap = 0u; tap < output.count; tap++) {
            sum += vec3<i32>(pixel(source, first, start + tap * stride)) * i32(tables[output.weights + tap]);
        }
        work[to + item] = packed(clamp(sum >> vec3<u32>(22u), vec3<i32>(0), vec3<i32>(255)));
    }
}
