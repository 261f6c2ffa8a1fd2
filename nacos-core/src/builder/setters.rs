//! One setter an option, made of the table of [`options`](crate::options).
use super::ClientBuilder;
use crate::options::{table, value};

macro_rules! setters {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident: $kind:ident, default $default:literal
            $(, also $($also:literal)+)? $(, also_in $unit:ident $($timed:literal)+)?;
    )+) => {
        impl ClientBuilder {
            $( setters!(@$kind $name [$($doc)+] $default); )+
        }
    };

    (@text $name:ident [$($doc:literal)+] $default:literal) => {
        $(#[doc = $doc])+
        ///
        #[doc = concat!(" Default: ", $default, ".")]
        pub fn $name(mut self, value: impl Into<String>) -> Self {
            self.options.$name = Some(value.into());
            self
        }
    };
    (@secret $name:ident [$($doc:literal)+] $default:literal) => {
        $(#[doc = $doc])+
        ///
        #[doc = concat!(" Default: ", $default, ".")]
        pub fn $name(mut self, value: impl Into<crate::Secret>) -> Self {
            self.options.$name = Some(value.into());
            self
        }
    };
    (@$kind:ident $name:ident [$($doc:literal)+] $default:literal) => {
        $(#[doc = $doc])+
        ///
        #[doc = concat!(" Default: ", $default, ".")]
        pub fn $name(mut self, value: value!($kind)) -> Self {
            self.options.$name = Some(value);
            self
        }
    };
}

table!(setters);
