//! Where a secret stands: in memory, or in a file that may be replaced at any time.
use std::{
    io,
    path::{Path, PathBuf},
};

use super::GrantError;
use crate::{file, secret::Secret, tasks};

/// Where a secret stands. `Debug` shows a file's path, never what is in it.
#[derive(Clone, Debug)]
pub(crate) enum SecretSource {
    Given(Secret),
    File(PathBuf),
}

impl SecretSource {
    /// The secret as it is now.
    pub(super) async fn read(&self) -> Result<Secret, GrantError> {
        let path = match self {
            Self::Given(secret) => return Ok(secret.clone()),
            Self::File(path) => path.clone(),
        };
        // A disk may hang, and would take one of the runtime's few threads with it.
        let read = tasks::blocking(move || {
            read_file(&path).map_err(|error| format!("read {}: {error}", path.display()))
        });
        match read.await {
            Some(secret) => secret.map_err(GrantError::unavailable),
            None => Err(GrantError::unavailable("the runtime is shutting down")),
        }
    }

    /// Whether another secret may be found here later.
    pub(super) fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }
}

fn read_file(path: &Path) -> io::Result<Secret> {
    let refuse = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidData, why));
    let bytes = file::read(path, MAX_SIZE, "it is longer than 64 KiB")?;
    let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    match std::str::from_utf8(text) {
        Ok("") => refuse("it is empty"),
        Ok(text) => Ok(Secret::new(text)),
        Err(_) => refuse("it is not UTF-8"),
    }
}

const MAX_SIZE: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use nacos_testkit::TimeLimit;

    use super::*;

    /// The secret in a file that holds `bytes`.
    fn read(bytes: &[u8]) -> Result<Secret, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        std::fs::write(&path, bytes).expect("written");
        read_file(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn one_line_break_at_the_end_does_not_count() {
        for text in ["hunter2", "hunter2\n", "hunter2\r\n"] {
            assert_eq!(read(text.as_bytes()).expect("readable").expose(), "hunter2");
        }
        assert_eq!(read(b" a b\n\n").expect("readable").expose(), " a b\n");
    }

    #[test]
    fn what_cannot_be_a_secret_is_refused_and_not_shown() {
        for bytes in [&b""[..], b"\n", b"hunter2\xff", &vec![b'h'; 64 * 1024 + 1]] {
            let error = read(bytes).expect_err("refused");
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert!(read(&vec![b'h'; 64 * 1024]).is_ok());
        let folder = tempfile::tempdir().expect("a folder");
        assert!(read_file(folder.path()).is_err());
    }

    #[tokio::test]
    async fn missing_file_is_named() {
        TimeLimit::for_test();
        let source = SecretSource::File("/nowhere/secret".into());
        let error = source.read().await.expect_err("missing");
        assert!(error.to_string().contains("/nowhere/secret"), "{error}");
    }
}
