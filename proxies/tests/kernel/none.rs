//! The control `none`: that it puts nothing into the kernel.

use proxies::{Options, Size, SyncRequest};

use crate::drive::{Drive, open};
use crate::golden;

#[test]
fn its_program_is_empty() {
    let cluster = golden::overall();
    let mut none = open("none", &Options::default());
    let program = none.render(&SyncRequest::Full(&cluster)).expect("it renders");
    assert_eq!(program.size, Size::default());
    assert_eq!(program.text(), None);
}
