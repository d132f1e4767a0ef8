//! Any bytes as what the kernel sends by netlink: errors, or messages that can be put into words.

use linux::netlink::decode::{ErrorReply, Messages};
use linux::netlink::{Message, ipset, route};

/// One input.
pub fn try_input(bytes: &[u8]) {
    for message in Messages::of(bytes).flatten() {
        take_apart(&message);
        if let Ok(reply) = ErrorReply::of(&message) {
            assert!(reply.refused.len() <= bytes.len() && reply.errno >= 0);
        }
        let _ = route::describe(&message);
        let _ = ipset::describe(&message, bytes);
        let _ = ipset::changes_in_words(&message);
    }
}

/// Attributes and what they nest are within the message.
fn take_apart(message: &Message<'_>) {
    let Ok((_, attributes)) = message.fixed::<4>() else { return };
    let mut left = vec![attributes];
    while let Some(attributes) = left.pop() {
        for (kind, value) in attributes.clone().flatten() {
            assert!(value.len() < message.content.len());
            assert!(attributes.find(kind).is_ok_and(|found| found.is_some()));
            left.push(linux::netlink::Attributes::of(value));
        }
    }
}
