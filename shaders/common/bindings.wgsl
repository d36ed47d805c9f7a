// What every stage is bound to. One dispatch: x = work within an image, y = image (its job).

struct Params {
    // x: first word of the dispatch's jobs in `tables`.
    first: vec4<u32>,
}

@group(0) @binding(0) var<uniform> params: Params;
// Tight RGB bytes, little end first, each image from a whole word on.
@group(0) @binding(1) var<storage, read> pixels: array<u32>;
// Jobs, weights and value tables, made by the processor.
@group(0) @binding(2) var<storage, read> tables: array<u32>;
// Intermediates and results; floats as bits.
@group(0) @binding(3) var<storage, read_write> work: array<u32>;

// Invocations of a workgroup (the portable floor) and words of a job: as in src/engines/gpu/recording.rs.
const INVOCATIONS: u32 = 256u;
const JOB_WORDS: u32 = 16u;

fn job(image: u32, field: u32) -> u32 {
    return tables[params.first.x + image * JOB_WORDS + field];
}
