//! Users' questions that servers answer over HTTP alone, at the main port of the server that
//! serves.
use std::fmt::Display;

use http::StatusCode;
use tokio::time::{Instant, timeout_at};

use super::{
    Connection,
    access::headers_now,
    call::{Abilities, serving},
    current::CurrentLink,
};
use crate::{
    credentials::below,
    error::{Error, ErrorKind},
    resource::Resource,
    server::Server,
    transport::{Headers, HttpError, get, is_no_path, with_query},
    wire::document_list::{self, Page, Question},
};

impl Connection {
    /// Asks the server that serves for a page of a list of documents. `questions` says how, by what
    /// the server has announced, newest first: the next one is asked where there is nothing at the
    /// path of the former. All of it within the request timeout; nothing is asked twice.
    pub(crate) async fn list_documents(
        &self,
        doing: impl Display,
        questions: impl FnOnce(&Abilities) -> Result<[Question; 2], String>,
    ) -> Result<Page, Error> {
        let deadline = Instant::now() + self.options.session.request_timeout;
        let mut current = self.current.clone();
        let link = match timeout_at(deadline, serving(&mut current, false)).await {
            Ok(Ok((link, _))) => link,
            Ok(Err(state)) => return Err(state.error_of(doing)),
            Err(_) => return Err(self.nobody_answered(doing)),
        };
        let questions = questions(&link.abilities)
            .map_err(|why| unsupported(&doing, format!("{}: {why}", link.server)))?;
        let known = self.servers.get();
        let Some(server) = known.iter().find(|known| known.to_string() == *link.server) else {
            let why = format!("{} has left the list of servers", link.server);
            return Err(Error::new(ErrorKind::Disconnected, doing).because(why));
        };
        let headers = self.main_port_headers(&link, server);
        let mut nothing = Vec::new();
        for (path, fields) in questions {
            let path = format!("{}{path}", below(&self.options.access.context_path));
            let fields = fields.iter().map(|(name, value)| (*name, &**value));
            let target = with_query(&path, fields);
            let headers = headers.iter().map(|(name, value)| (&**name, &**value));
            let (dialer, most) =
                (&self.options.transport.dialer, self.options.transport.receive_limit);
            let asked = timeout_at(deadline, get(dialer, server, &target, headers, most)).await;
            let failed = |kind, why: String| {
                Error::new(kind, &doing).because(format!("{server}{path}: {why}"))
            };
            let (status, body) = match asked {
                Ok(Ok(answer)) => answer,
                Ok(Err(error @ HttpError::Failed(_))) => {
                    return Err(failed(ErrorKind::Disconnected, error.to_string()));
                }
                Ok(Err(error)) => return Err(failed(ErrorKind::Protocol, error.to_string())),
                Err(_) => return Err(failed(ErrorKind::Timeout, "no answer in time".to_owned())),
            };
            match kind_of(status) {
                None => {
                    let unreadable = || failed(ErrorKind::Protocol, "no list".to_owned());
                    return document_list::parse(&body).ok_or_else(unreadable);
                }
                Some(ErrorKind::Unsupported) => nothing.push(format!("{path}: {status}")),
                Some(kind) => {
                    let reason = document_list::reason(&body);
                    let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
                    let error = failed(kind, format!("{status}{reason}"));
                    return Err(error.with_code(i32::from(status.as_u16())));
                }
            }
        }
        Err(unsupported(&doing, format!("{server} lists no documents ({})", nothing.join(", "))))
    }

    /// The headers that a question carries. A token goes over HTTP if it came that way, or where
    /// nobody can read more of it there than in gRPC.
    fn main_port_headers(&self, link: &CurrentLink, server: &Server) -> Headers {
        let dialer = &self.options.transport.dialer;
        let is_as_safe = dialer.secures_http(server) || !dialer.secures_grpc(server);
        let may_be_shown = self.options.access.logs_in_over_http || is_as_safe;
        let grant = link.grant.as_deref().filter(|_| may_be_shown);
        headers_now(grant, || Resource::Documents)
    }
}

fn unsupported(doing: impl Display, why: String) -> Error {
    Error::new(ErrorKind::Unsupported, doing).because(why)
}

/// The meaning of an answer that is no success.
fn kind_of(status: StatusCode) -> Option<ErrorKind> {
    Some(match status {
        status if status.is_success() => return None,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ErrorKind::Denied,
        status if is_no_path(status) => ErrorKind::Unsupported,
        // Java Nacos has a queue for searches since 2.2.
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => ErrorKind::Overloaded,
        status if status.is_client_error() => ErrorKind::Refused,
        status if status.is_server_error() => ErrorKind::Server,
        // A redirection, to a page.
        _ => ErrorKind::Protocol,
    })
}
