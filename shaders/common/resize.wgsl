// One axis of a resize: `outputs` results along it, for each of `lines` lines across it.
struct Resize {
    // 0: uploaded bytes; 1: what the other axis left in the work buffer.
    source: u32,
    // First word of the source.
    first: u32,
    // Pixels from one row of the source to the next.
    stride: u32,
    table: u32,
    outputs: u32,
    lines: u32,
    // Pixels in front of the first line; may be negative, and then wraps.
    offset: u32,
    // First word of the results.
    to: u32,
}

fn resize_job(image: u32) -> Resize {
    return Resize(
        job(image, 0u), job(image, 1u), job(image, 2u), job(image, 3u), job(image, 4u), job(image, 5u), job(image, 6u), job(image, 7u),
    );
}

// Where the sums of one result begin, and how far apart their pixels lie.
struct Walk {
    taps: Taps,
    start: u32,
    step: u32,
}

// Of result `item` in [lines][outputs].
fn walk_rows(resize: Resize, item: u32) -> Walk {
    let found = taps(resize.table, resize.outputs, item % resize.outputs);
    return Walk(found, resize.offset + (item / resize.outputs) * resize.stride + found.start, 1u);
}

// Of result `item` in [outputs][lines].
fn walk_columns(resize: Resize, item: u32) -> Walk {
    let found = taps(resize.table, resize.outputs, item / resize.lines);
    return Walk(found, resize.offset + found.start * resize.stride + item % resize.lines, resize.stride);
}

const HALF: i32 = 2097152; // 2^21: rounds at 22 fraction bits

// The weighted mean, rounded and clipped to 8 bits: exact. Pixels and result are one word.
fn mixed(resize: Resize, walk: Walk) -> u32 {
    var sum = vec3<i32>(HALF);
    for (var tap = 0u; tap < walk.taps.count; tap++) {
        let value = pixel(resize.source, resize.first, walk.start + tap * walk.step);
        sum += vec3<i32>(value) * i32(tables[walk.taps.weights + tap * walk.taps.step]);
    }
    return packed(clamp(sum >> vec3<u32>(22u), vec3<i32>(0), vec3<i32>(255)));
}

// The weighted mean. Pixels are bytes of the upload or three floats.
fn mixed_float(resize: Resize, walk: Walk) -> vec3<f32> {
    var sum = vec3<f32>(0.0);
    for (var tap = 0u; tap < walk.taps.count; tap++) {
        let value = pixel_float(resize.source, resize.first, walk.start + tap * walk.step);
        sum += value * bitcast<f32>(tables[walk.taps.weights + tap * walk.taps.step]);
    }
    return sum;
}
