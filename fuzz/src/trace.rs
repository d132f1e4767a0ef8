//! Any bytes as a captured packet, and as a trace that a guest hands over: an error, or one that
//! can be shown, drawn and written.

use results::trace::{Framing, Headers, Record, pcapng, picture, text};

/// One input.
pub fn try_input(bytes: &[u8]) {
    for framing in [Framing::Ethernet, Framing::Ip] {
        let _ = Headers::of(bytes, framing);
    }
    if let Ok(record) = serde_json::from_slice::<Record>(bytes) {
        let _ = text(&record);
        assert!(picture(&record).is_ok());
        assert!(pcapng(&record).is_ok());
    }
}
