//! Who logs in.
use std::fmt;

use crate::secret::Secret;

/// A user and a password.
///
/// `Debug` shows neither; the password goes into the body of the login and nowhere else.
#[derive(Clone)]
pub(crate) struct Credentials {
    username: String,
    password: Secret,
}

impl Credentials {
    pub(crate) fn new(username: String, password: Secret) -> Self {
        Self { username, password }
    }

    /// The fields of a login form.
    pub(crate) fn fields(&self) -> [(&'static str, &str); 2] {
        [("username", &self.username), ("password", self.password.expose())]
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let credentials = Credentials::new("nacos".to_owned(), Secret::new("hunter2"));
        assert_eq!(format!("{credentials:?}"), "Credentials");
    }
}
