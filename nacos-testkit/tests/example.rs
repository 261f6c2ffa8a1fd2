//! The shortest whole story: a server, a client that uses it, and a look at what came of it.

use nacos_testkit::{Server, TimeLimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[tokio::test]
async fn published_document_is_read_by_anybody_who_speaks_http() -> std::io::Result<()> {
    TimeLimit::for_test();
    let server = Server::start().await?;
    server.publish_typed("", "DEFAULT_GROUP", "orders.yaml", "limit: 7", "yaml");

    let mut socket = TcpStream::connect(server.addr()).await?;
    let path = "/nacos/v1/cs/configs?dataId=orders.yaml&group=DEFAULT_GROUP";
    let request = format!("GET {path} HTTP/1.1\r\nhost: nacos\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;

    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("config-type: yaml") && answer.ends_with("limit: 7"), "{answer}");
    Ok(())
}
