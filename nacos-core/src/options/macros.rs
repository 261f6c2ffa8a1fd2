//! The expansion of the table's rows.

/// The type of a value, by the word that the table has for it.
macro_rules! value {
    (text) => {
        String
    };
    (secret) => {
        crate::Secret
    };
    (port) => {
        u16
    };
    (bytes) => {
        usize
    };
    (count) => {
        usize
    };
    (time) => {
        std::time::Duration
    };
    (flag) => {
        bool
    };
    (oidc_auth_method) => {
        crate::credentials::OidcAuthMethod
    };
    (start_policy) => {
        crate::StartPolicy
    };
    (tls_version) => {
        crate::TlsVersion
    };
}

/// Makes of the table: the fields of `ClientOptions`, and the rows by which files and the
/// environment are read.
macro_rules! options {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident: $kind:ident, default $default:literal
            $(, also $($also:literal)+)? $(, also_in $unit:ident $($timed:literal)+)?;
    )+) => {
        /// Every option of a client, as a configuration file or the environment gives it. A field
        /// that is `None` keeps its default.
        ///
        /// Deserialisable, so that any configuration library can fill it: figment, a TOML table, a
        /// section of YAML. Keys are read in snake, kebab and camel case; one that is unknown is an
        /// error, and so is one option under two names. Empty text is not given. Nothing is checked
        /// before it is used: see [`ClientBuilder::options`](crate::ClientBuilder::options).
        ///
        #[doc = include_str!("../../OPTIONS.md")]
        #[derive(Clone, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct ClientOptions {
            $( $(#[doc = $doc])+ pub $name: Option<value!($kind)>, )+
            pub(crate) origin: super::OptionOrigin,
        }

        impl ClientOptions {
            /// Field by field.
            pub(super) fn filled_from(self, below: Self) -> Self {
                let origin = self.origin.clone().over(below.origin.clone(), |option| {
                    below.says(option) && !self.says(option)
                });
                Self { $( $name: self.$name.or(below.$name), )+ origin }
            }
        }

        /// Shows no secret, and no address with one in it.
        impl std::fmt::Debug for ClientOptions {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let mut shown = f.debug_struct("ClientOptions");
                $( shown.field(stringify!($name), &options!(@debug $kind self.$name)); )+
                shown.finish()
            }
        }

        pub(crate) const OPTIONS: &[super::Row] = &[
            $( super::Row {
                name: stringify!($name),
                also: &[
                    $($(super::Also { name: $also, unit: "" },)+)?
                    $($(super::Also { name: $timed, unit: options!(@unit $unit) },)+)?
                ],
                set: |options, given| {
                    options.$name = Some(options!(@read $kind given)?);
                    Ok(())
                },
                is_given: |options| options.$name.is_some(),
                clear: |options| options.$name = None,
                #[cfg(test)]
                kind: options!(@shown $kind),
                #[cfg(test)]
                default: $default,
                #[cfg(test)]
                docs: &[$($doc),+],
            }, )+
        ];
    };


    (@unit seconds) => { "s" };
    (@unit millis) => { "ms" };

    (@shown text) => { "text" };
    (@shown secret) => { "text, a secret" };
    (@shown port) => { "number" };
    (@shown bytes) => { "bytes" };
    (@shown count) => { "number" };
    (@shown time) => { "time: `500ms`, `5s`, `2m`, `1h`" };
    (@shown flag) => { "`true` or `false`" };
    (@shown oidc_auth_method) => { "`client_secret_post` or `client_secret_basic`" };
    (@shown start_policy) => {
        "`remote`, `remote_then_snapshot`, `snapshot_first` or `offline`"
    };
    (@shown tls_version) => { "`1.2` or `1.3`" };

    (@debug text $value:expr) => {
        // A URL's user and its query are in most logs for longer than they should be.
        $value.as_deref().map(|text| if text.contains(['@', '?']) { "[redacted]" } else { text })
    };
    (@debug $kind:ident $value:expr) => { $value };

    (@read text $given:ident) => { $given.text() };
    (@read secret $given:ident) => { $given.secret() };
    (@read port $given:ident) => { $given.number() };
    (@read bytes $given:ident) => { $given.number() };
    (@read count $given:ident) => { $given.number() };
    (@read time $given:ident) => { $given.time() };
    (@read flag $given:ident) => { $given.flag() };
    (@read oidc_auth_method $given:ident) => { $given.oidc_auth_method() };
    (@read start_policy $given:ident) => { $given.start_policy() };
    (@read tls_version $given:ident) => { $given.tls_version() };
}

pub(super) use options;
pub(crate) use value;
