//! Generic netlink: from the name of a family to its number.
//!
//! One question a sync at most, so `neli` writes it. The socket with its deadline and the checked
//! decoder are ours.

use std::io::Cursor;

use neli::consts::genl::{CtrlAttr, CtrlCmd};
use neli::genl::{AttrTypeBuilder, Genlmsghdr, GenlmsghdrBuilder, NlattrBuilder};
use neli::types::GenlBuffer;
use neli::{Size, ToBytes};

use super::socket::{Family, NetlinkError, Socket};
use super::{Batch, Malformed, decode};

/// `GENL_ID_CTRL` (include/uapi/linux/genetlink.h, Linux 6.1): the controller's fixed number.
const CONTROLLER: u16 = 0x10;
/// `GENL_HDRLEN`: command, version, two reserved bytes.
pub const HEADER_BYTES: usize = 4;

/// The number of a family, such as `IPVS`. Asking makes the kernel load a module that declares the
/// family, if it can.
///
/// # Errors
/// [`NetlinkError::Refused`] with `ENOENT` if there is no such family.
pub fn family_number(name: &str) -> Result<u16, NetlinkError> {
    let request = question(name).map_err(|_| Malformed("neli cannot write the question"))?;
    let batch = Batch::single(CONTROLLER, 0, |content| content.raw(&request));
    let mut number = None;
    Socket::open(Family::Generic)?.ask(&batch, |message| {
        let (_, attributes) = message.fixed::<HEADER_BYTES>()?;
        number = attributes.find(CtrlAttr::FamilyId.into())?.map(decode::u16).transpose()?;
        Ok(())
    })?;
    Ok(number.ok_or(Malformed("the controller's answer has no family number"))?)
}

fn question(name: &str) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let kind = AttrTypeBuilder::default().nla_type(CtrlAttr::FamilyName).build()?;
    let attribute = NlattrBuilder::default().nla_type(kind).nla_payload(name).build()?;
    let message: Genlmsghdr<CtrlCmd, CtrlAttr> = GenlmsghdrBuilder::default()
        .cmd(CtrlCmd::Getfamily)
        .version(2)
        .attrs(std::iter::once(attribute).collect::<GenlBuffer<_, _>>())
        .build()?;
    let mut buffer = Cursor::new(vec![0; message.padded_size()]);
    message.to_bytes(&mut buffer)?;
    Ok(buffer.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_names_the_family() {
        #[rustfmt::skip]
        let expected = [
            3, 2, 0, 0,                                        // CTRL_CMD_GETFAMILY, version 2
            9, 0, 2, 0,  b'I', b'P', b'V', b'S',  0, 0, 0, 0,  // CTRL_ATTR_FAMILY_NAME, padded
        ];
        assert_eq!(question("IPVS").expect("neli writes it"), expected);
    }
}
