//! The gRPC port: one task a transport, and the transport is the connection.

mod body;
mod resets;
mod stream;
mod unary;

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

use http::{HeaderValue, Method, Request, Response, header::CONTENT_TYPE};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::Notify, time::Instant};

use crate::{
    line::{Cut, Gate, Line, LineEnd},
    shared::Shared,
    state::{ConnectionKey, Transport},
    tasks::{Accepted, Spawner, TransportTasks},
};
pub(crate) use body::AnswerBody;
use resets::ReadAlong;

/// Accepts transports until the gate is closed. Dropping the future drops all of them.
pub(crate) async fn serve(gate: Arc<Gate>, shared: Arc<Shared>) {
    let mut transports = Accepted::default();
    while let Some(accepted) = gate.accept().await {
        match accepted {
            Ok((socket, remote)) => {
                transports.spawn(carry(Arc::clone(&shared), socket, remote));
            }
            Err(error) => {
                tracing::debug!(%error, "transport not accepted");
                tokio::task::yield_now().await;
            }
        }
    }
    // The gate closes when the server stops; its transports are cut by then and end by themselves.
    transports.ended().await;
}

/// Carries one transport to its end.
async fn carry(shared: Arc<Shared>, socket: TcpStream, remote: SocketAddr) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "transport is gone already");
        return;
    }
    let line = Line::new(socket, shared.is_black_hole());
    let closing = Arc::new(Notify::new());
    let key = open(&shared, &line, &closing, remote);
    let tasks = TransportTasks::default();
    // Declared last, dropped first: what lives in the connection goes before its socket does.
    let _open = Open { shared: Arc::clone(&shared), key, tasks: tasks.clone() };

    let mut resets = VecDeque::new();
    let on_reset = {
        let (shared, line) = (Arc::clone(&shared), Arc::clone(&line));
        move || {
            shared.change(|state| state.counters.resets += 1);
            let Some(limit) = shared.plan.reset_limit else { return };
            let now = Instant::now();
            resets.push_back(now);
            while resets.front().is_some_and(|reset| now - *reset > RESET_WINDOW) {
                resets.pop_front();
            }
            if resets.len() > limit {
                line.cut(Cut::Close);
            }
        }
    };
    let transport = ReadAlong::new(LineEnd(line), on_reset);
    let call = Call { shared, key, spawner: tasks.downgrade() };
    let service = service_fn(move |request| call.clone().route(request));
    let mut settings = http2::Builder::new(tasks);
    // A document of 10 MiB passes in one go.
    settings.initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
    let served = settings.serve_connection(TokioIo::new(transport), service);
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        // Ends by itself when the client closes it, or when the line is cut.
        ended = served.as_mut() => ended,
        // The server wants it closed: what is on its way still goes out.
        () = closing.notified() => {
            served.as_mut().graceful_shutdown();
            let farewell = tokio::time::timeout(FAREWELL, served.as_mut());
            farewell.await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "transport ended");
    }
}

fn open(
    shared: &Shared,
    line: &Arc<Line>,
    closing: &Arc<Notify>,
    remote: SocketAddr,
) -> ConnectionKey {
    let id = if shared.behaviour().is_java() {
        format!("{}_{}_{}", shared.now_millis(), remote.ip(), remote.port())
    } else {
        format!("1_{remote}")
    };
    shared.change(|state| {
        state.counters.connects += 1;
        let key = state.transports.next_key();
        let transport = Transport {
            id,
            remote,
            line: Arc::clone(line),
            closing: Arc::clone(closing),
            connection: None,
        };
        state.transports.opened(key, transport);
        key
    })
}

/// The registration of an open transport; dropping it withdraws all that lives in the connection.
struct Open {
    shared: Arc<Shared>,
    key: ConnectionKey,
    tasks: TransportTasks,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.tasks.end();
        let events = self.shared.change(|state| {
            let events = state.forget(self.key);
            state.transports.closed(self.key);
            events
        });
        self.shared.set_off(events);
    }
}

/// The context of the calls on one transport.
#[derive(Clone)]
struct Call {
    shared: Arc<Shared>,
    key: ConnectionKey,
    spawner: Spawner,
}

impl Call {
    async fn route(self, request: Request<Incoming>) -> Result<Response<AnswerBody>, h2::Error> {
        if request.method() != Method::POST {
            return Ok(status(UNIMPLEMENTED, "Method not found"));
        }
        match request.uri().path() {
            "/Request/request" => unary::answer(&self.shared, self.key, request.into_body()).await,
            "/BiRequestStream/requestBiStream" => {
                Ok(stream::open(&self.shared, self.key, &self.spawner, request.into_body()))
            }
            path => Ok(status(UNIMPLEMENTED, &format!("Method not found: {path}"))),
        }
    }
}

/// A response that is nothing but a gRPC status.
fn status(code: u8, message: &str) -> Response<AnswerBody> {
    let mut response = grpc(AnswerBody::empty());
    let headers = response.headers_mut();
    headers.insert("grpc-status", HeaderValue::from(u16::from(code)));
    headers.insert("grpc-message", body::header(message));
    response
}

fn grpc(body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

const UNIMPLEMENTED: u8 = 12;
const WINDOW: u32 = 16 * 1024 * 1024;
/// In which resets are counted, as Netty does.
const RESET_WINDOW: Duration = Duration::from_secs(30);
/// How long a transport may take to say goodbye.
const FAREWELL: Duration = Duration::from_millis(100);
