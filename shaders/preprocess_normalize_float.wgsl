// Channel order, (pixel * scale - mean) / std and layout; and a letterbox's canvas.
// In: [height][width][3] floats. Out: [height][width][3] or [3][height][width] floats.
// Plain twin: engines::preprocess::plain::preprocess_normalize_float.

// Scale, then the mean of each output channel, then the std: one of these words.
fn constant(canvas: Canvas, word: u32) -> f32 {
    return bitcast<f32>(tables[canvas.values + word]);
}

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let canvas = canvas_job(id.y);
    let items = canvas.width * canvas.height;
    for (var item = id.x; item < items; item += groups.x * INVOCATIONS) {
        let at = spot(canvas, item);
        var value = vec3<f32>((vec3<u32>(canvas.fill) >> vec3<u32>(0u, 8u, 16u)) & vec3<u32>(255u));
        if (at.inside) {
            value = pixel_float(1u, canvas.source, at.pixel);
        }
        if (canvas.bgr) {
            value = value.zyx;
        }
        for (var channel = 0u; channel < 3u; channel++) {
            let normal = (value[channel] * constant(canvas, 0u) - constant(canvas, 1u + channel)) / constant(canvas, 4u + channel);
            put(canvas, item, channel, bitcast<u32>(normal));
        }
    }
}
