// Vertical pass of the resize without rounding, for the output rows and columns ("lines") that the crop needs.
// In: the floats of the rows pass, or RGB bytes where this runs first. Out: [outputs][lines], three floats per pixel.
// Plain twin: engines::preprocess::plain::preprocess_resize_columns_float.

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let resize = resize_job(id.y);
    let items = resize.outputs * resize.lines;
    for (var item = id.x; item < items; item += groups.x * INVOCATIONS) {
        put_float(resize.to, item, mixed_float(resize, walk_columns(resize, item)));
    }
}
