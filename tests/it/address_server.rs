//! An address server that a test can change its mind about.
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use nacos_core::{Client, ClientBuilder};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

use crate::support::soon;

/// An address server: one HTTP answer to every request.
pub(crate) struct AddressServer {
    pub(crate) address: String,
    said: Arc<Mutex<Said>>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Said {
    answer: String,
    asked: usize,
    last_request: String,
}

impl AddressServer {
    pub(crate) async fn start(list: &str) -> Self {
        Self::at("127.0.0.1:0", list).await
    }

    pub(crate) async fn at(address: &str, list: &str) -> Self {
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let said = Arc::new(Mutex::new(Said::default()));
        let shared = Arc::clone(&said);
        let serving = tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    match socket.read_u8().await {
                        Ok(byte) => request.push(byte),
                        Err(_) => break,
                    }
                }
                let answer = {
                    let mut said = shared.lock().expect("not poisoned");
                    said.asked += 1;
                    said.last_request = String::from_utf8_lossy(&request).into_owned();
                    said.answer.clone()
                };
                // A client may hang up on an answer that is too long.
                let _ = socket.write_all(answer.as_bytes()).await;
            }
        });
        let server = Self { address, said, serving };
        server.answer(list);
        server
    }

    pub(crate) fn client(&self) -> ClientBuilder {
        Client::builder().endpoint(&self.address)
    }

    pub(crate) fn answer(&self, list: &str) {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length";
        self.answer_raw(&format!("{head}: {}\r\n\r\n{list}", list.len()));
    }

    pub(crate) fn answer_raw(&self, answer: &str) {
        answer.clone_into(&mut self.said.lock().expect("not poisoned").answer);
    }

    pub(crate) fn asked(&self) -> usize {
        self.said.lock().expect("not poisoned").asked
    }

    pub(crate) fn last_request(&self) -> String {
        self.said.lock().expect("not poisoned").last_request.clone()
    }

    /// Waits until so many have asked, and for what follows from the answer.
    pub(crate) async fn until_asked(&self, times: usize) {
        let asking = async {
            while self.asked() < times {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        soon(asking).await;
        // Planned moves begin within a second.
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

impl Drop for AddressServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
