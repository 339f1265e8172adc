//! Sockets that no child inherits, and that end no process by SIGPIPE.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use rustix::net::{AddressFamily, RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendFlags, SocketType};

/// A nonblocking stream socket.
pub fn nonblocking(family: AddressFamily) -> io::Result<OwnedFd> {
    #[cfg(target_os = "linux")]
    {
        use rustix::net::{SocketFlags, socket_with};
        Ok(socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?)
    }
    #[cfg(target_os = "macos")]
    {
        let socket = rustix::net::socket(family, SocketType::STREAM, None)?;
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(socket)
    }
}

/// The flag that keeps a closed peer from ending this process. On macOS it is a property of the socket.
fn without_signal(socket: &UnixStream) -> rustix::io::Result<SendFlags> {
    #[cfg(target_os = "linux")]
    {
        let _ = socket;
        Ok(SendFlags::NOSIGNAL)
    }
    #[cfg(target_os = "macos")]
    {
        rustix::net::sockopt::set_socket_nosigpipe(socket, true)?;
        Ok(SendFlags::empty())
    }
}

/// Sends as many bytes as the socket takes at once.
pub fn send_now(socket: &UnixStream, bytes: &[u8]) -> rustix::io::Result<usize> {
    rustix::net::send(socket, bytes, without_signal(socket)? | SendFlags::DONTWAIT)
}

/// Sends bytes with descriptors.
pub fn send_with(
    socket: &UnixStream,
    bytes: &[u8],
    ancillary: &mut SendAncillaryBuffer<'_, '_, '_>,
) -> rustix::io::Result<usize> {
    rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], ancillary, without_signal(socket)?)
}

/// Receives bytes with descriptors, which no child inherits.
pub fn receive_with(
    socket: &UnixStream,
    bytes: &mut [u8],
    ancillary: &mut RecvAncillaryBuffer<'_>,
) -> rustix::io::Result<usize> {
    // macOS has no such flag. All descriptors are marked before a child is started.
    #[cfg(target_os = "linux")]
    let flags = RecvFlags::CMSG_CLOEXEC;
    #[cfg(target_os = "macos")]
    let flags = RecvFlags::empty();
    Ok(rustix::net::recvmsg(socket, &mut [IoSliceMut::new(bytes)], ancillary, flags)?.bytes)
}

/// Whether the peer belongs to the user this process runs as.
#[must_use]
pub fn is_own(stream: &UnixStream) -> bool {
    #[cfg(target_os = "linux")]
    return rustix::net::sockopt::socket_peercred(stream).is_ok_and(|peer| peer.uid == rustix::process::geteuid());
    #[cfg(target_os = "macos")]
    {
        use std::os::fd::AsRawFd;
        let (mut user, mut group) = (0, 0);
        // SAFETY: the descriptor is open, and both numbers may be written.
        let done = unsafe { libc::getpeereid(stream.as_raw_fd(), &raw mut user, &raw mut group) };
        done == 0 && user == rustix::process::geteuid().as_raw()
    }
}

/// The paths of all bound Unix sockets, if the system lists them: macOS does not.
#[must_use]
pub fn bound_paths() -> Vec<PathBuf> {
    #[cfg(target_os = "linux")]
    let table = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
    #[cfg(target_os = "macos")]
    let table = String::new();
    table.lines().filter_map(|line| line.split_ascii_whitespace().nth(7)).map(PathBuf::from).collect()
}
