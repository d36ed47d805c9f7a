//! The stage table: every compute shader by name.

macro_rules! stages {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// One compute shader. Its name is that of the file in `shaders/`, of the plain twin and of the parity test.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Stage { $($(#[$doc])* $variant,)* }

        impl Stage {
            /// Every stage, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stage's one name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The shader's own text, without the common part.
            const fn own_source(self) -> &'static str {
                match self { $(Self::$variant => include_str!(concat!("../../../shaders/", $name, ".wgsl")),)* }
            }
        }
    };
}

stages! {
    /// Horizontal pass of the resize: RGB bytes to one word per pixel.
    PreprocessResizeRows = "preprocess_resize_rows",
    /// Vertical pass of the resize.
    PreprocessResizeColumns = "preprocess_resize_columns",
    /// Channel order, scale, mean, std, layout, and a letterbox's canvas.
    PreprocessNormalize = "preprocess_normalize",
    /// Horizontal pass of the resize without rounding: three floats per pixel.
    PreprocessResizeRowsFloat = "preprocess_resize_rows_float",
    /// Vertical pass of the resize without rounding.
    PreprocessResizeColumnsFloat = "preprocess_resize_columns_float",
    /// Channel order, scale, mean, std, layout, and a letterbox's canvas, of floats.
    PreprocessNormalizeFloat = "preprocess_normalize_float",
    /// Luma and the row operator: `[height][64]`.
    PdqJaroszRows = "pdq_jarosz_rows",
    /// The column operator: `[64][64]`.
    PdqJaroszColumns = "pdq_jarosz_columns",
    /// Image-domain quality.
    PdqQuality = "pdq_quality",
    /// 16 x 16 low frequencies.
    PdqDct = "pdq_dct",
    /// Medians and the eight hashes.
    PdqBits = "pdq_bits",
    /// Hashes within the radius of queries, compacted.
    HammingScan = "hamming_scan",
}

impl Stage {
    /// What the device compiles: the common functions, then the stage.
    pub(super) fn source(self) -> String {
        const COMMON: [&str; 5] = [
            include_str!("../../../shaders/common/bindings.wgsl"),
            include_str!("../../../shaders/common/pixels.wgsl"),
            include_str!("../../../shaders/common/taps.wgsl"),
            include_str!("../../../shaders/common/resize.wgsl"),
            include_str!("../../../shaders/common/canvas.wgsl"),
        ];
        COMMON.iter().copied().chain([self.own_source()]).collect::<Vec<_>>().join("\n")
    }

    /// Its place in [`ALL`](Self::ALL).
    pub(super) fn index(self) -> usize {
        self as usize
    }
}
