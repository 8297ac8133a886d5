use std::sync::atomic::{AtomicU64, Ordering};

/// Memory for heads and hellos that are larger than most: all connections together may hold so much of
/// it, so that many large ones at a time do not take what the machine has.
#[derive(Debug)]
pub struct HeadRoom {
    held: AtomicU64,
    most: u64,
}

/// Each connection holds this much without asking: the heads and hellos of browsers fit.
const FREE_BYTES: u64 = 8 * 1024;

/// What one connection holds of it; given back when this is dropped.
#[derive(Debug)]
pub(super) struct Held<'r> {
    room: &'r HeadRoom,
    bytes: u64,
}

/// So much is held already that this head would be too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exhausted;

impl HeadRoom {
    pub fn new(bytes_max: u64) -> Self {
        Self { held: AtomicU64::new(0), most: bytes_max }
    }

    /// A connection that holds nothing of it yet.
    pub(super) fn claim(&self) -> Held<'_> {
        Held { room: self, bytes: 0 }
    }
}

impl Held<'_> {
    /// The connection's buffer takes so many bytes now.
    ///
    /// # Errors
    /// There is no room for it; what was held before still is.
    pub(super) fn hold(&mut self, buffer_bytes: usize) -> Result<(), Exhausted> {
        let wanted = (buffer_bytes as u64).saturating_sub(FREE_BYTES);
        let more = wanted.saturating_sub(self.bytes);
        if more > 0 {
            let before = self.room.held.fetch_add(more, Ordering::Relaxed);
            self.bytes += more;
            if before + more > self.room.most {
                return Err(Exhausted);
            }
        }
        Ok(())
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.room.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;

    #[test]
    fn small_heads_need_no_room_and_large_ones_share_what_there_is() {
        let room = HeadRoom::new(100 * KIB as u64);
        let (mut first, mut second, mut third) = (room.claim(), room.claim(), room.claim());
        assert_eq!(first.hold(68 * KIB), Ok(()));
        assert_eq!(first.hold(60 * KIB), Ok(()), "a buffer that shrinks gives nothing back before its end");
        assert_eq!(second.hold(48 * KIB), Ok(()));
        assert_eq!(third.hold(8 * KIB), Ok(()));
        assert_eq!(third.hold(9 * KIB), Err(Exhausted));
        drop((first, third));
        assert_eq!(second.hold(108 * KIB), Ok(()));
        assert_eq!(second.hold(109 * KIB), Err(Exhausted));
        drop(second);
        assert_eq!(room.held.load(Ordering::Relaxed), 0);
    }
}
