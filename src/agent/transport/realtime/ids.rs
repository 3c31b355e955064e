//! core: ids for the wire, the same ones for the same seed

/// Mints ids like OpenAI's: a prefix that says what it names, and 21 random letters and digits (125 bits: two never meet).
#[derive(Debug)]
pub struct Ids {
    random: fastrand::Rng,
}

impl Ids {
    pub fn new(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed) }
    }

    pub fn mint(&mut self, prefix: &str) -> String {
        let mut id = String::with_capacity(prefix.len() + 22);
        id.push_str(prefix);
        id.push('_');
        id.extend((0..21).map(|_| self.random.alphanumeric()));
        id
    }
}
