//! Files that hold secrets: read whole, and no further than is sane.
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use zeroize::Zeroizing;

/// The content of the file. Blocks for as long as the disk does.
///
/// # Errors
///
/// `too_long` if that is more than `most` bytes. Only files are read: a device may have no end, and
/// opening a pipe would wait for its writer.
pub(crate) fn read(path: &Path, most: usize, too_long: &str) -> io::Result<Zeroizing<Vec<u8>>> {
    let refuse = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidData, why));
    let metadata = path.metadata()?;
    if !metadata.is_file() {
        return refuse("it is no file");
    }
    // Room for all of it at once: what a vector leaves behind when it grows is not overwritten.
    let length = usize::try_from(metadata.len()).unwrap_or(usize::MAX).min(most);
    let mut bytes = Zeroizing::new(Vec::with_capacity(length + 2));
    File::open(path)?.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most { refuse(too_long) } else { Ok(bytes) }
}
