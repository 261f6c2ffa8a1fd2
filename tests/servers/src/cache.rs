//! Where heavy things are kept between runs. The one place that reads this user's environment.

use std::env;
use std::path::{Path, PathBuf};

/// The project's cache directory of this user.
pub(crate) fn root() -> PathBuf {
    let given = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    place(given("XDG_CACHE_HOME"), given("HOME"), &env::temp_dir())
}

/// Where installed servers stand, each in a directory named after it and its version.
pub(crate) fn servers() -> PathBuf {
    root().join("servers")
}

/// The program that a shell would run by that name.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|found| found.is_file())
}

/// The `java` of this machine: that of `JAVA_HOME`, else the one on the path.
pub(crate) fn java() -> Option<PathBuf> {
    env::var_os("JAVA_HOME")
        .map(|home| Path::new(&home).join("bin/java"))
        .filter(|found| found.is_file())
        .or_else(|| program("java"))
}

/// The `cargo` that runs us, else the one on the path.
pub(crate) fn cargo() -> Option<PathBuf> {
    env::var_os("CARGO").map(PathBuf::from).or_else(|| program("cargo"))
}

fn place(cache: Option<PathBuf>, home: Option<PathBuf>, temporary: &Path) -> PathBuf {
    cache
        .or_else(|| home.map(|home| home.join(".cache")))
        .unwrap_or_else(|| temporary.to_path_buf())
        .join("nacos-rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_is_the_users_before_it_is_the_machines() {
        let at = |cache: Option<&str>, home: Option<&str>| {
            place(cache.map(PathBuf::from), home.map(PathBuf::from), Path::new("/t"))
        };
        assert_eq!(at(Some("/c"), Some("/h")), Path::new("/c/nacos-rs"));
        assert_eq!(at(None, Some("/h")), Path::new("/h/.cache/nacos-rs"));
        assert_eq!(at(None, None), Path::new("/t/nacos-rs"));
    }
}
