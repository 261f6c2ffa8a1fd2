//! Errors of TLS, in words that say what to do.
use std::io;

use tokio_rustls::rustls::{
    AlertDescription as Alert, CertificateError as Cert, Error, PeerIncompatible,
    pki_types::UnixTime,
};

/// Why the handshake failed. `shows_certificate`: the client has one.
pub(super) fn explain(error: &io::Error, shows_certificate: bool) -> String {
    let rustls = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
    match rustls {
        Some(Error::InvalidCertificate(wrong)) => {
            format!("the server's certificate is not accepted: {}", certificate(wrong))
        }
        Some(Error::AlertReceived(alert)) => refusal(*alert, shows_certificate),
        Some(Error::InvalidMessage(_)) => {
            "it answers with something that is no TLS: is TLS switched on at this port?".to_owned()
        }
        Some(Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        )) => OLD.to_owned(),
        Some(other) => other.to_string(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "it closed the connection in the middle: is TLS switched on at this port?".to_owned()
        }
        None => error.to_string(),
    }
}

/// Why a connection ended after the handshake. `accepted`: the server has said something by then.
///
/// Under TLS 1.3 the handshake is over before the server has looked at the client's certificate:
/// its refusal, or the end of the connection without one, is the first thing that is read.
pub(super) fn explain_end(error: &io::Error, accepted: bool, shows_certificate: bool) -> String {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    match error.kind() {
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof if !accepted => {
            refused_in_silence(shows_certificate)
        }
        UnexpectedEof => "the server closed the connection without a word".to_owned(),
        _ => explain(error, shows_certificate),
    }
}

fn refused_in_silence(shows_certificate: bool) -> String {
    let what = "the server closed the connection right after the handshake";
    if shows_certificate {
        format!("{what}, as one does that does not accept the client certificate")
    } else {
        format!("{what}, as one does that demands a client certificate: see `tls_cert_file`")
    }
}

fn certificate(wrong: &Cert) -> String {
    let after = |later: &UnixTime, earlier: &UnixTime| {
        let hours = later.as_secs().saturating_sub(earlier.as_secs()) / 3600;
        if hours < 48 { format!("{hours} h") } else { format!("{} days", hours / 24) }
    };
    match wrong {
        Cert::Expired => "it has expired".to_owned(),
        Cert::ExpiredContext { time, not_after } => {
            format!("it has expired, {} ago", after(time, not_after))
        }
        Cert::NotValidYet => "it is not valid yet".to_owned(),
        Cert::NotValidYetContext { time, not_before } => {
            format!("it is not valid yet, for {} to come", after(not_before, time))
        }
        Cert::UnknownIssuer => {
            "none of the trusted authorities has signed it (see `tls_ca_file`)".to_owned()
        }
        // Also what an authority looks like that was made anew under its old name.
        Cert::BadSignature => "its signature, or that of an authority above it, is wrong: has an \
             authority another key than in `tls_ca_file`?"
            .to_owned(),
        Cert::NotValidForNameContext { presented, .. } if !presented.is_empty() => {
            let names = presented.join(", ");
            format!("it is for {names}, not for that name (see `tls_server_name`)")
        }
        Cert::NotValidForName | Cert::NotValidForNameContext { .. } => {
            "it is not for that name (see `tls_server_name`)".to_owned()
        }
        other => other.to_string(),
    }
}

fn refusal(alert: Alert, shows_certificate: bool) -> String {
    match alert {
        Alert::ProtocolVersion => OLD.to_owned(),
        Alert::NoApplicationProtocol => {
            "the server does not speak what is due at this port (ALPN)".to_owned()
        }
        Alert::CertificateRequired => {
            "the server demands a client certificate: see `tls_cert_file`".to_owned()
        }
        alert if is_about_clients(alert) && shows_certificate => {
            format!("the server does not accept the client certificate ({alert:?})")
        }
        alert if is_about_clients(alert) => format!(
            "the server refuses ({alert:?}), as one does that demands a client certificate: see \
             `tls_cert_file`"
        ),
        other => format!("the server refuses ({other:?})"),
    }
}

/// Whether `alert` is about the client's certificate: it is missing, or servers do not like it.
fn is_about_clients(alert: Alert) -> bool {
    matches!(
        alert,
        Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::DecryptError
            // Below TLS 1.3 there is no alert for one that is missing.
            | Alert::HandshakeFailure
            // Java Nacos 2.3.2, of one that no authority has signed that it knows (seen).
            | Alert::InternalError
    )
}

const OLD: &str = "the server has no version of TLS that is allowed (see `tls_min_version`)";

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(error: Error, shows_certificate: bool) -> String {
        explain(&io::Error::new(io::ErrorKind::InvalidData, error), shows_certificate)
    }

    #[test]
    fn every_explanation_says_which_option_helps() {
        let issuer = explained(Error::InvalidCertificate(Cert::UnknownIssuer), false);
        assert!(issuer.contains("tls_ca_file"), "{issuer}");
        let name = explained(Error::InvalidCertificate(Cert::NotValidForName), false);
        assert!(name.contains("tls_server_name"), "{name}");
        let version = explained(Error::AlertReceived(Alert::ProtocolVersion), false);
        assert!(version.contains("tls_min_version"), "{version}");
        for alert in [Alert::CertificateRequired, Alert::BadCertificate, Alert::HandshakeFailure] {
            let client = explained(Error::AlertReceived(alert), false);
            assert!(client.contains("tls_cert_file"), "{client}");
        }
        for alert in [Alert::UnknownCA, Alert::InternalError] {
            let theirs = explained(Error::AlertReceived(alert), true);
            assert!(theirs.contains("does not accept the client certificate"), "{theirs}");
        }
    }

    #[test]
    fn expiry_is_told_in_hours_and_days() {
        let expired = |seconds: u64| {
            let at = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
            let (time, not_after) = (at(seconds), at(0));
            explained(Error::InvalidCertificate(Cert::ExpiredContext { time, not_after }), false)
        };
        assert!(expired(7200).contains("expired, 2 h ago"), "{}", expired(7200));
        assert!(expired(864_000).contains("expired, 10 days ago"), "{}", expired(864_000));
    }
}
