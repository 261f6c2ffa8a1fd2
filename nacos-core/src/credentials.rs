//! Who logs in.
use std::fmt;

/// A user and a password.
///
/// `Debug` shows neither; the password goes into the body of the login and nowhere else.
#[derive(Clone)]
pub(crate) struct Credentials {
    username: String,
    password: String,
}

impl Credentials {
    pub(crate) fn new(username: String, password: String) -> Self {
        Self { username, password }
    }

    /// The fields of a login form.
    pub(crate) fn fields(&self) -> [(&'static str, &str); 2] {
        [("username", &self.username), ("password", &self.password)]
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
        let credentials = Credentials::new("nacos".to_owned(), "hunter2".to_owned());
        assert_eq!(format!("{credentials:?}"), "Credentials");
    }
}
