//! Plain values that every floor shares, and the glossary. Nothing here does I/O, owns a thread or knows a foreign engine.
//!
//! | word | meaning |
//! | --- | --- |
//! | attachment | one thing a provider asks about: an image, a video, a text or a conversation |
//! | technology | one way of looking at an attachment, named in every result: `md5`, `pdq`, `open-nsfw`, … |
//! | bank | a named set of hashes with one owner; what is in it is *known* material |
//! | match | an item of a bank whose hash lies within the bank's radius of the attachment's hash |
//! | item | what a bank holds of one content: one or more signals with one content id |
//! | signal | one hash, digest or vector of an item, of one signal type |
//! | standing | how far an item got: candidate, vetted, active, disputed, quarantined, retired |
//! | distance | differing bits for PDQ (0..=256), Euclidean for PhotoDNA, 1 - cosine for embeddings; 0 for an exact digest |
//! | quality | PDQ's image-domain gradient measure, 0..=100; below 50 a hash says nothing |
//! | label | one output of a classifier, e.g. `nsfw` |
//! | look | one view of an attachment: a frame of a sequence, with or without its transparency; a text as written or normalised |
//! | score | what a classifier said of one label: `raw` decides, `probability` informs people |
//! | operating point | a threshold together with what is known about it; there is no bare threshold |
//! | certificate | a signed document that says what was shown about a threshold, on which data, for which model |
//! | claim | one threshold of a certificate: a target, a confidence, and whether it is certified |
//! | calibrator | the map from a raw score to a probability, for people to read |
//! | prevalence | the share of positives in some traffic |
//! | routing decision | the machine's: `review` or `none` |
//! | review decision | the human's |
//! | appeal | a person's objection to a review decision |
//! | ledger | the hash-chained record of everything decided |
//!
//! ```
//! use nightlight::domain::hash::PdqHash;
//! let hash: PdqHash = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22".parse().unwrap();
//! assert_eq!(hash.distance(&hash), 0);
//! ```

pub mod attachment;
pub mod bank;
pub mod calibrator;
pub mod certificate;
pub mod clip;
pub mod curation;
pub mod decision;
pub mod event;
pub mod evidence;
pub mod frame;
pub mod hash;
pub mod ids;
pub mod labelled;
pub mod monitor;
pub mod network;
pub mod operating_point;
pub mod pace;
pub mod preprocess;
pub mod score;
pub mod signal;
pub mod tensor;
pub mod text;
pub mod time;
