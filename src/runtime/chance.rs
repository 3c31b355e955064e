//! io: words that nobody can guess

use std::fs::File;
use std::io::Read;

/// 128 bits of the system's randomness as 32 hexadecimal digits: for tokens, and for ids that let their holder do
/// something.
///
/// # Panics
/// When the system has no `/dev/urandom`: nothing can be kept apart on such a machine.
pub fn secret_word() -> String {
    let mut bytes = [0; 16];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).expect("Linux has /dev/urandom");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_alike() {
        let words: std::collections::BTreeSet<_> = (0..100).map(|_| secret_word()).collect();
        assert!(words.len() == 100 && words.iter().all(|word| word.len() == 32));
    }
}
