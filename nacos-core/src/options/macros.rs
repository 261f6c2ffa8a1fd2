//! What a row of the table expands to.

/// Makes of the table: the fields of `ClientOptions`, the setters of the builder, and the rows by
/// which files and the environment are read.
macro_rules! options {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident: $kind:ident, default $default:literal
            $(, also $($also:literal)+)? $(, also_in $unit:ident $($timed:literal)+)?;
    )+) => {
        /// Every option of a client, as a configuration file or the environment gives it. What is
        /// `None` keeps its default.
        ///
        /// Deserialisable, so that any configuration library can fill it: figment, a TOML table, a
        /// section of YAML. Keys are read in snake, kebab and camel case; one that is unknown is an
        /// error, and so is one option under two names. Empty text is not given. Nothing is checked before it is used: see
        /// [`ClientBuilder::options`](crate::ClientBuilder::options).
        ///
        #[doc = include_str!("../../OPTIONS.md")]
        #[derive(Clone, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct ClientOptions {
            $( $(#[doc = $doc])+ pub $name: Option<options!(@type $kind)>, )+
        }

        impl ClientOptions {
            /// Field by field.
            pub(super) fn filled_from(self, below: Self) -> Self {
                Self { $( $name: self.$name.or(below.$name), )+ }
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

        /// One setter an option.
        impl crate::builder::ClientBuilder {
            $( options!(@setter $kind $name [$($doc)+] $default); )+
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

    (@type text) => { String };
    (@type secret) => { crate::Secret };
    (@type port) => { u16 };
    (@type bytes) => { usize };
    (@type count) => { usize };
    (@type time) => { std::time::Duration };
    (@type flag) => { bool };
    (@type tls_version) => { crate::TlsVersion };

    (@unit seconds) => { "s" };
    (@unit millis) => { "ms" };

    (@shown text) => { "text" };
    (@shown secret) => { "text, a secret" };
    (@shown port) => { "number" };
    (@shown bytes) => { "bytes" };
    (@shown count) => { "number" };
    (@shown time) => { "time: `500ms`, `5s`, `2m`, `1h`" };
    (@shown flag) => { "`true` or `false`" };
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
    (@read tls_version $given:ident) => { $given.tls_version() };

    (@setter text $name:ident [$($doc:literal)+] $default:literal) => {
        $(#[doc = $doc])+
        ///
        #[doc = concat!(" Default: ", $default, ".")]
        pub fn $name(mut self, value: impl Into<String>) -> Self {
            self.options.$name = Some(value.into());
            self
        }
    };
    (@setter secret $name:ident [$($doc:literal)+] $default:literal) => {
        $(#[doc = $doc])+
        ///
        #[doc = concat!(" Default: ", $default, ".")]
        pub fn $name(mut self, value: impl Into<crate::Secret>) -> Self {
            self.options.$name = Some(value.into());
            self
        }
    };
    (@setter $kind:ident $name:ident [$($doc:literal)+] $default:literal) => {
        $(#[doc = $doc])+
        ///
        #[doc = concat!(" Default: ", $default, ".")]
        pub fn $name(mut self, value: options!(@type $kind)) -> Self {
            self.options.$name = Some(value);
            self
        }
    };
}

pub(super) use options;
