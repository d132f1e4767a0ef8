//! A network namespace for the time of one closure.

use std::os::fd::AsRawFd;
use std::panic;
use std::thread;

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::net::{AddressFamily, SocketType, socket};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Runs the closure on a thread of its own in a new namespace with `lo` up and an empty `/run`, so
/// that tests neither wait for each other's `/run/xtables.lock` nor leave one. Both end with the
/// thread; a panic is passed on.
pub fn in_new_namespace<T: Send>(body: impl FnOnce() -> T + Send) -> T {
    let run = || {
        let flags = UnshareFlags::NEWNET | UnshareFlags::NEWNS;
        // SAFETY: only namespaces of this thread change; descriptors stay shared.
        unsafe { unshare_unsafe(flags) }.expect("new namespaces (as root)");
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .expect("mounts of this thread's own");
        mount("tmpfs", "/run", "tmpfs", MountFlags::empty(), None).expect("an empty /run");
        set_loopback_up();
        body()
    };
    thread::scope(|scope| scope.spawn(run).join())
        .unwrap_or_else(|payload| panic::resume_unwind(payload))
}

/// Sets `lo` of the calling thread's namespace up.
#[allow(dead_code, reason = "the contract alone does not need it")]
pub fn set_loopback_up() {
    let mut request = request_about(b"lo");
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_UP).expect("a small flag");
    set(libc::SIOCSIFFLAGS, &request);
}

/// Makes every address of 10.0.0.0/8 an address of this namespace, as all of 127.0.0.0/8 is: the
/// network of an address on a loopback device is local (`fib_add_ifaddr` in
/// `net/ipv4/fib_frontend.c`, Linux 6.1), and that of a class A address is a /8.
pub fn make_network_10_local() {
    let mut request = request_about(b"lo:10");
    // SAFETY: an all-zero `sockaddr_in` is a valid value of that plain C struct.
    let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    address.sin_family = libc::sa_family_t::try_from(libc::AF_INET).expect("a small number");
    address.sin_addr.s_addr = u32::from_ne_bytes([10, 0, 0, 1]);
    // SAFETY: both are plain C structs of 16 bytes; this is how addresses of a family are passed.
    request.ifr_ifru.ifru_addr =
        unsafe { std::mem::transmute::<libc::sockaddr_in, libc::sockaddr>(address) };
    set(libc::SIOCSIFADDR, &request);
}

fn request_about(interface: &[u8]) -> libc::ifreq {
    // SAFETY: an all-zero `ifreq` is a valid value of that plain C struct.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(interface) {
        *to = libc::c_char::try_from(*from).expect("ASCII");
    }
    request
}

fn set(operation: libc::Ioctl, request: &libc::ifreq) {
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None).expect("a socket");
    // SAFETY: operations of this kind read one `ifreq`, which lives until after the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), operation, &raw const *request) };
    assert_eq!(result, 0, "ioctl {operation:#x}: {}", std::io::Error::last_os_error());
}
