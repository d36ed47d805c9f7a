// Horizontal pass of the resize without rounding, for the lines and output columns that the crop needs.
// In: RGB bytes, or the floats of the columns pass where that runs first. Out: [lines][outputs], three floats per pixel.
// Plain twin: engines::preprocess::plain::preprocess_resize_rows_float.

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let resize = resize_job(id.y);
    let items = resize.outputs * resize.lines;
    for (var item = id.x; item < items; item += groups.x * INVOCATIONS) {
        put_float(resize.to, item, mixed_float(resize, walk_rows(resize, item)));
    }
}
