//! The main port: login, health, and the open API as far as "another client" needs it.

mod config;
mod form;
mod login;
mod naming;
pub(crate) mod oidc;
mod reply;
mod search;
mod state;
mod v3;
mod zero;

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use form::Form;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use reply::{error_page, result, text};
use tokio::net::TcpStream;
use zero::Zeroing;

use crate::{
    Behaviour,
    answer::{Denied, allowed},
    line::{Gate, Line, LineEnd},
    shared::Shared,
    state::State,
    tasks::Accepted,
};

type Reply = Response<Full<Bytes>>;

/// Accepts connections until the gate is closed. Dropping the future drops all of them.
pub(crate) async fn serve(gate: Arc<Gate>, shared: Arc<Shared>) {
    let mut connections = Accepted::default();
    while let Some(accepted) = gate.accept().await {
        match accepted {
            Ok((socket, _)) => {
                connections.spawn(carry(Arc::clone(&shared), socket));
            }
            Err(error) => {
                tracing::debug!(%error, "connection not accepted");
                tokio::task::yield_now().await;
            }
        }
    }
    connections.ended().await;
}

async fn carry(shared: Arc<Shared>, socket: TcpStream) {
    if socket.set_nodelay(true).is_err() {
        return; // gone already
    }
    let line = Line::new(socket, shared.is_black_hole());
    shared.http_line(&line);
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(&shared, request).await) }
    });
    let served =
        http1::Builder::new().serve_connection(TokioIo::new(Zeroing(LineEnd(line))), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "connection ended");
    }
}

/// An HTTP request, read and taken apart.
struct Call<'a> {
    shared: &'a Arc<Shared>,
    method: Method,
    path: String,
    headers: HeaderMap,
    /// The query and the form body, one after the other.
    form: Form,
}

impl Call<'_> {
    fn behaviour(&self) -> Behaviour {
        self.shared.behaviour()
    }

    fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name)?.to_str().ok().map(str::to_owned)
    }
}

async fn answer(shared: &Arc<Shared>, request: Request<Incoming>) -> Reply {
    let (parts, body) = request.into_parts();
    let mut form = Form::parse(parts.uri.query().unwrap_or_default());
    let Ok(body) = Limited::new(body, shared.behaviour().message_limit()).collect().await else {
        return text(StatusCode::PAYLOAD_TOO_LARGE, "");
    };
    form.extend(&String::from_utf8_lossy(&body.to_bytes()));
    let call = Call {
        shared,
        method: parts.method,
        path: parts.uri.path().to_owned(),
        headers: parts.headers,
        form,
    };
    let reply = route(&call);
    if call.path.ends_with("/login") || call.path.starts_with(oidc::ISSUER) {
        let slow = shared.read(|state| state.authentication.slow);
        tokio::time::sleep(slow).await;
    }
    shared.delayed().await;
    reply
}

fn route(call: &Call<'_>) -> Reply {
    let path = call.path.strip_prefix("/nacos").unwrap_or(&call.path);
    let behaviour = call.behaviour();
    oidc::note(call);
    if let Some(reply) = login::planned(call) {
        return reply;
    }
    if let Some((status, body)) = call.shared.read(|state| state.planned.get(path).cloned()) {
        return text(status, &body);
    }
    if let Some(reply) = oidc::answer(call) {
        return reply;
    }
    match path {
        // An address server is no Nacos server; this one is both, for clients that look there.
        "/serverlist" => text(StatusCode::OK, &format!("{}\n", call.shared.addr)),
        "/v1/auth/users/login" | "/v1/auth/login" if behaviour.has_v1() => login::login(call),
        "/v3/auth/user/login" if behaviour.is_3() || !behaviour.is_java() => login::login(call),
        // The search of consoles is switched off in 3.0.
        "/v1/cs/configs"
            if behaviour == Behaviour::Nacos3_0 && call.form.text("search").is_some() =>
        {
            gone(path)
        }
        "/v1/cs/configs" if behaviour.has_v1() => {
            guarded(call, |call| search::console(call).unwrap_or_else(|| config::configs(call)))
        }
        // The operator's requests are switched off in 3.0; the answer names their successors.
        "/v1/ns/instance" | "/v1/ns/service" if behaviour.is_3() && call.method == Method::PUT => {
            if behaviour.has_v1() {
                gone(path)
            } else {
                text(StatusCode::NOT_FOUND, "")
            }
        }
        "/v1/ns/instance" if behaviour.has_v1() => guarded(call, naming::instance),
        "/v1/ns/service" if behaviour.has_v1() => guarded(call, naming::settings),
        "/v1/ns/instance/list" if behaviour.has_v1() => guarded(call, naming::list),
        path => state::answer(call, path, behaviour)
            .or_else(|| behaviour.is_3().then(|| v3::answer(call, path))?)
            .unwrap_or_else(|| text(StatusCode::NOT_FOUND, "")),
    }
}

/// An API that is switched off.
fn gone(path: &str) -> Reply {
    result(StatusCode::GONE, 40_000, "API deprecated", &path.into())
}

fn guarded(call: &Call<'_>, handle: fn(&Call<'_>) -> Reply) -> Reply {
    guarded_by(call, handle, allowed)
}

/// Lets a request in, or not, by its credentials.
type Check = fn(&Shared, &State, &dyn Fn(&str) -> Option<String>) -> Result<(), Denied>;

fn guarded_by(call: &Call<'_>, handle: fn(&Call<'_>) -> Reply, check: Check) -> Reply {
    let given = |name: &str| call.form.text(name).or_else(|| call.header(name));
    match call.shared.read(|state| check(call.shared, state, &given)) {
        Ok(()) => handle(call),
        Err(denied) => refused(call, denied),
    }
}

fn refused(call: &Call<'_>, denied: Denied) -> Reply {
    match call.behaviour() {
        Behaviour::Nacos3_0 | Behaviour::Nacos3_3 => {
            result(StatusCode::FORBIDDEN, 10_001, "access denied", &denied.text().into())
        }
        Behaviour::Nacos2_3 | Behaviour::Nacos2_5 => {
            error_page(StatusCode::FORBIDDEN, "Forbidden", denied.text(), &call.path)
        }
        Behaviour::RNacos => text(StatusCode::FORBIDDEN, denied.text()),
    }
}
