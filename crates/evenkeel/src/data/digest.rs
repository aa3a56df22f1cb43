//! Is this the data that it was? One short text for all samples and their labels says so.

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::Dataset;
use super::split::{Pixels, Split};

/// Values that are hashed at once, on one thread.
const PIECE: usize = 1 << 18;
/// Bytes of a digest that are told.
const TOLD: usize = 16;

impl Dataset {
    /// Hexadecimal digits that are the same for the same samples and labels, as they were read, in the same order; of samples that were
    /// not read, none. Cost: a pass over the data, on all threads.
    pub fn digest(&self) -> Option<String> {
        let mut whole = Sha256::new();
        for split in [&self.train, &self.test] {
            for extent in split.image_shape() {
                whole.update((extent as u64).to_le_bytes());
            }
            pieces(split)?.iter().for_each(|piece| whole.update(piece));
        }
        Some(whole.finalize().iter().take(TOLD).map(|byte| format!("{byte:02x}")).collect())
    }
}

/// The hashes of a split, piece by piece, in an order that does not depend on threads.
fn pieces(split: &Split) -> Option<Vec<[u8; 32]>> {
    let mut hashes: Vec<[u8; 32]> = match split.pixels() {
        Pixels::Bytes(values) => values.par_chunks(PIECE).map(|piece| Sha256::digest(piece).into()).collect(),
        Pixels::Floats(values) => {
            values.par_chunks(PIECE).map(|piece| of(piece.iter().map(|v| v.to_le_bytes()))).collect()
        }
        Pixels::Text(tokens) => vec![of((0..tokens.len()).map(|place| tokens.at(place).to_le_bytes()))],
        Pixels::Unread { .. } => return None,
    };
    hashes.push(of(split.labels().iter().map(|label| label.to_le_bytes())));
    if let Some(numbers) = split.numbers() {
        hashes.push(of(numbers.values().iter().map(|value| value.to_le_bytes())));
    }
    Some(hashes)
}

fn of(values: impl Iterator<Item = [u8; 4]>) -> [u8; 32] {
    let bytes: Vec<u8> = values.flatten().collect();
    Sha256::digest(bytes).into()
}
