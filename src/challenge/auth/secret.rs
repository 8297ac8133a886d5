use zeroize::Zeroizing;

/// What the gate alone knows, drawn at random by whoever starts it and never kept: of another process nothing
/// that this one made is believed. It is wiped where it is dropped, and has no debug form.
pub struct Secret(Zeroizing<[u8; 32]>);

impl Secret {
    /// Takes 32 random bytes.
    pub fn new(random: [u8; 32]) -> Self {
        Self(Zeroizing::new(random))
    }

    /// A key for one purpose and no other.
    pub(super) fn key(&self, purpose: &str) -> Key {
        Key(Zeroizing::new(blake3::derive_key(purpose, &*self.0)))
    }
}

/// Hashes that nobody without the key can make or foresee.
pub(super) struct Key(Zeroizing<[u8; 32]>);

impl Key {
    /// Of these parts, no two lists of which are hashed alike.
    pub(super) fn hash(&self, parts: &[&[u8]]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.finalize()
    }
}
