// The three bytes of pixel `index` of the image that starts at word `first`.
fn rgb(first: u32, index: u32) -> vec3<u32> {
    let byte = index * 3u;
    let word = first + (byte >> 2u);
    let shift = (byte & 3u) * 8u;
    var bits = pixels[word] >> shift;
    if (shift > 8u) {
        bits |= pixels[word + 1u] << (32u - shift);
    }
    return vec3<u32>(bits & 255u, (bits >> 8u) & 255u, (bits >> 16u) & 255u);
}

// Pixel `index` of an uploaded image (source 0) or of words in the work buffer (source 1), either from word `first` on.
fn pixel(source: u32, first: u32, index: u32) -> vec3<u32> {
    if (source == 0u) {
        return rgb(first, index);
    }
    let bits = work[first + index];
    return vec3<u32>(bits & 255u, (bits >> 8u) & 255u, (bits >> 16u) & 255u);
}

// A pixel as one word: R in the lowest byte.
fn packed(value: vec3<i32>) -> u32 {
    let bytes = vec3<u32>(value);
    return bytes.x | (bytes.y << 8u) | (bytes.z << 16u);
}

// The same where the work buffer holds three floats a pixel.
fn pixel_float(source: u32, first: u32, index: u32) -> vec3<f32> {
    if (source == 0u) {
        return vec3<f32>(rgb(first, index));
    }
    let word = first + 3u * index;
    return vec3<f32>(bitcast<f32>(work[word]), bitcast<f32>(work[word + 1u]), bitcast<f32>(work[word + 2u]));
}

// Writes a pixel as three floats.
fn put_float(first: u32, index: u32, value: vec3<f32>) {
    let word = first + 3u * index;
    work[word] = bitcast<u32>(value.x);
    work[word + 1u] = bitcast<u32>(value.y);
    work[word + 2u] = bitcast<u32>(value.z);
}
