//! Who wrote a line: Optuna's `worker_id` is a UUID for the handle, a dash, and the number of the thread.

use trialog_ops::{SessionId, WorkerId};

/// The session as Optuna's `worker_id`: the worker's 96 bits in a version 4 UUID whose other bits are fixed, and the
/// slot in the place of the thread.
#[must_use]
pub fn worker_text(session: SessionId) -> String {
    let uuid = uuid(session.worker());
    let mut slot = [0; 4];
    slot.copy_from_slice(&session.0[12..]);
    let mut text = String::with_capacity(48);
    for (i, byte) in uuid.iter().enumerate() {
        text.push_str(if matches!(i, 4 | 6 | 8 | 10) { "-" } else { "" });
        text.push_str(&format!("{byte:02x}"));
    }
    text.push_str(&format!("-{}", u32::from_le_bytes(slot)));
    text
}

fn uuid(WorkerId(id): WorkerId) -> [u8; 16] {
    let mut uuid = [0; 16];
    uuid[..6].copy_from_slice(&id[..6]);
    (uuid[6], uuid[7], uuid[8], uuid[9]) = (0x4f, id[6], 0xbf, id[7]);
    uuid[10..14].copy_from_slice(&id[8..]);
    (uuid[14], uuid[15]) = (b'T', b'L');
    uuid
}

/// The session of a `worker_id`, whoever wrote it. One that is not of our making is known by a hash: of what comes
/// before the last dash for the worker, of the rest for the slot.
pub(crate) fn session_of(text: &str) -> SessionId {
    if let Some(session) = ours(text) {
        return session;
    }
    let (worker, thread) = text.rsplit_once('-').unwrap_or((text, ""));
    let mut id = [0; 12];
    id.copy_from_slice(&fnv(worker.as_bytes()).to_le_bytes()[..12]);
    let slot = fnv(thread.as_bytes());
    SessionId::new(WorkerId(id), (slot ^ slot >> 64) as u32)
}

fn ours(text: &str) -> Option<SessionId> {
    let (uuid_text, slot) = (text.get(..36)?, text.get(36..)?.strip_prefix('-')?);
    let mut digits = uuid_text.bytes().filter(|byte| *byte != b'-');
    let mut nibble = || char::from(digits.next()?).to_digit(16).map(|digit| digit as u8);
    let mut bytes = [0; 16];
    for byte in &mut bytes {
        *byte = nibble()? << 4 | nibble()?;
    }
    let mut id = [0; 12];
    id[..6].copy_from_slice(&bytes[..6]);
    (id[6], id[7]) = (bytes[7], bytes[9]);
    id[8..].copy_from_slice(&bytes[10..14]);
    let session = SessionId::new(WorkerId(id), slot.parse().ok()?);
    (worker_text(session) == text).then_some(session)
}

/// FNV-1a of 128 bits.
fn fnv(bytes: &[u8]) -> u128 {
    let prime = (1 << 88) + 0x13b;
    bytes.iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash: u128, byte| {
        (hash ^ u128::from(*byte)).wrapping_mul(prime)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_ids_come_back() {
        for (fill, slot) in [(0, 0), (0xff, u32::MAX), (0x5a, 7)] {
            let session = SessionId::new(WorkerId([fill; 12]), slot);
            let text = worker_text(session);
            assert_eq!(session_of(&text), session);
            assert_eq!((text.as_bytes()[14], text.as_bytes()[19]), (b'4', b'b'), "a version 4 UUID: {text}");
        }
    }

    #[test]
    fn threads_of_one_worker_belong_together() {
        let uuid = "145e13ba-6149-4748-8e51-65bc9e9f8bc7";
        let [a, b] = ["140415975881600", "140415975881601"].map(|thread| session_of(&format!("{uuid}-{thread}")));
        assert_eq!(a.worker(), b.worker());
        assert_ne!(a, b);
        assert_ne!(session_of("x-1").worker(), a.worker());
    }
}
