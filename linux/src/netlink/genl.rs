//! Generic netlink: from the name of a family to its number.

use neli::consts::genl::{CtrlAttr, CtrlCmd};

use super::decode;
use super::decode::Malformed;
use super::encode::Batch;
use super::socket::{Family, NetlinkError, Socket};

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
    let mut number = None;
    Socket::open(Family::Generic)?.ask(&question(name), |message| {
        let (_, attributes) = message.fixed::<HEADER_BYTES>()?;
        number = attributes.find(CtrlAttr::FamilyId.into())?.map(decode::u16).transpose()?;
        Ok(())
    })?;
    Ok(number.ok_or(Malformed("the controller's answer has no family number"))?)
}

fn question(name: &str) -> Batch {
    Batch::single(CONTROLLER, 0, |content| {
        content.fixed([CtrlCmd::Getfamily.into(), 2, 0, 0]);
        content.text(CtrlAttr::FamilyName.into(), name);
    })
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
        assert_eq!(question("IPVS").bytes()[16..], expected);
    }
}
