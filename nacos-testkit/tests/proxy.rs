//! The fault proxy, seen from the sockets at both of its ends.

use std::{io::ErrorKind, time::Duration};

use nacos_testkit::{
    Server,
    proxy::{Command, Direction, FaultProxy, Script},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};

/// A proxy with a connection through it, and both ends of that.
struct Rig {
    proxy: FaultProxy,
    upstream: TcpListener,
    client: TcpStream,
    server: TcpStream,
}

impl Rig {
    async fn new() -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = upstream.local_addr().expect("bound");
        let proxy = FaultProxy::start(addr).await.expect("a free port");
        let (client, server) = connect(&proxy, &upstream).await;
        Self { proxy, upstream, client, server }
    }

    fn apply(&self, command: Command) {
        self.proxy.apply(command).expect("only `accept` can fail");
    }

    /// Both directions: sender, receiver, and the command for this one only.
    fn directions(&mut self) -> [Way<'_>; 2] {
        let Self { client, server, .. } = self;
        let (from_server, to_server) = client.split();
        let (from_client, to_client) = server.split();
        [
            Way {
                direction: Direction::ToServer,
                sender: to_server,
                receiver: from_client,
                only: Command::to_server,
            },
            Way {
                direction: Direction::ToClient,
                sender: to_client,
                receiver: from_server,
                only: Command::to_client,
            },
        ]
    }
}

struct Way<'a> {
    direction: Direction,
    sender: tokio::net::tcp::WriteHalf<'a>,
    receiver: tokio::net::tcp::ReadHalf<'a>,
    only: fn(Command) -> Command,
}

impl Way<'_> {
    async fn send(&mut self, bytes: &[u8]) {
        soon(self.sender.write_all(bytes)).await.expect("writable");
    }

    async fn receive(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        soon(self.receiver.read_exact(&mut bytes)).await.expect("readable");
        bytes
    }

    /// Bytes that are sent arrive, and in no time.
    async fn flows(&mut self) {
        let began = Instant::now();
        self.send(b"flows").await;
        assert_eq!(self.receive(5).await, b"flows", "{}", self.direction);
        assert_eq!(Instant::now(), began, "{}", self.direction);
    }

    /// Nothing arrives, not even the end.
    async fn is_silent(&mut self) {
        let read = timeout(Duration::from_secs(3600), self.receiver.read(&mut [0; 8])).await;
        assert!(read.is_err(), "{}: {read:?}", self.direction);
    }
}

async fn connect(proxy: &FaultProxy, upstream: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(proxy.addr()).await.expect("accepted");
    let (server, _) = soon(upstream.accept()).await.expect("dialled");
    (client, server)
}

/// Bounds a wait, far beyond what it may take; virtual time, so that a failure comes at once.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(86_400), future).await.expect("it never came")
}

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// What the next read says.
async fn end(socket: &mut TcpStream) -> Result<usize, ErrorKind> {
    soon(socket.read(&mut [0; 8])).await.map_err(|error| error.kind())
}

#[tokio::test(start_paused = true)]
async fn everything_passes_in_both_directions_and_is_counted() {
    let mut rig = Rig::new().await;
    for mut way in rig.directions() {
        way.flows().await;
        let sent: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let (sender, receiver) = (&mut way.sender, &mut way.receiver);
        let mut arrived = vec![0; sent.len()];
        let (written, read) = soon(async {
            tokio::join!(sender.write_all(&sent), receiver.read_exact(&mut arrived))
        })
        .await;
        written.and(read.map(drop)).expect("open");
        assert!(sent == arrived, "{}", way.direction);
    }
    let proxy = &rig.proxy;
    assert_eq!((proxy.connections(), proxy.accepted()), (1, 1));
    soon(proxy.until(|proxy| proxy.delivered(Direction::ToServer) == 3_000_005)).await;
    soon(proxy.until(|proxy| proxy.delivered(Direction::ToClient) == 3_000_005)).await;
}

#[tokio::test(start_paused = true)]
async fn end_of_each_stream_passes_and_both_end_the_connection() {
    let mut rig = Rig::new().await;
    rig.client.shutdown().await.expect("open");
    assert_eq!(end(&mut rig.server).await, Ok(0));
    rig.directions()[1].flows().await;
    assert_eq!(rig.proxy.connections(), 1);
    drop(rig.server);
    assert_eq!(end(&mut rig.client).await, Ok(0));
    soon(rig.proxy.until(|proxy| proxy.connections() == 0)).await;
}

#[tokio::test(start_paused = true)]
async fn reset_of_a_peer_passes() {
    for from_client in [true, false] {
        let Rig { proxy, client, server, .. } = Rig::new().await;
        let (dead, mut other) = if from_client { (client, server) } else { (server, client) };
        dead.set_zero_linger().expect("open");
        drop(dead);
        assert_eq!(end(&mut other).await, Err(ErrorKind::ConnectionReset));
        soon(proxy.until(|proxy| proxy.connections() == 0)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn unreachable_server_resets_the_client() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let proxy = FaultProxy::start(upstream.local_addr().expect("bound")).await.expect("a port");
    drop(upstream);
    let mut client = TcpStream::connect(proxy.addr()).await.expect("accepted");
    assert_eq!(end(&mut client).await, Err(ErrorKind::ConnectionReset));
    soon(proxy.until(|proxy| (proxy.accepted(), proxy.connections()) == (1, 0))).await;
}

#[tokio::test(start_paused = true)]
async fn delay_is_for_its_direction_and_until_pass() {
    for index in [0, 1] {
        let mut rig = Rig::new().await;
        let only = rig.directions()[index].only;
        rig.apply(only(Command::delay(millis(700), Duration::ZERO)));
        rig.directions()[1 - index].flows().await;

        let mut ways = rig.directions();
        let began = Instant::now();
        ways[index].send(b"late").await;
        assert_eq!(ways[index].receive(4).await, b"late");
        assert_eq!(Instant::now() - began, millis(700));

        ways[index].send(b"held").await;
        ways[1 - index].flows().await;
        rig.apply(only(Command::pass()));
        let now = Instant::now();
        assert_eq!(rig.directions()[index].receive(4).await, b"held");
        assert_eq!(Instant::now(), now, "what was on its way has arrived");
    }
}

#[tokio::test(start_paused = true)]
async fn delayed_bytes_travel_side_by_side_and_the_end_behind_them() {
    let mut rig = Rig::new().await;
    rig.apply(Command::delay(millis(500), millis(400)));
    let began = Instant::now();
    for byte in 0..100 {
        rig.client.write_all(&[byte]).await.expect("writable");
        tokio::task::yield_now().await;
    }
    rig.client.shutdown().await.expect("open");
    let mut received = Vec::new();
    soon(rig.server.read_to_end(&mut received)).await.expect("readable");
    assert_eq!(received, (0..100).collect::<Vec<u8>>());
    let took = Instant::now() - began;
    assert!((millis(100)..=millis(901)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn delay_holds_no_more_than_its_bound() {
    let mut rig = Rig::new().await;
    rig.apply(Command::delay(Duration::from_secs(3600), Duration::ZERO));
    // What the proxy and the buffers of the system take is finite; an hour has not passed.
    let endless = async {
        loop {
            rig.client.write_all(&vec![0; 64 << 10]).await.expect("writable");
        }
    };
    assert!(timeout(Duration::from_secs(60), endless).await.is_err());
    assert_eq!(rig.proxy.delivered(Direction::ToServer), 0);
}

#[tokio::test(start_paused = true)]
async fn throttle_lets_through_its_rate_in_its_direction() {
    for index in [0, 1] {
        let mut rig = Rig::new().await;
        let only = rig.directions()[index].only;
        rig.apply(only(Command::throttle(10_000)));
        let mut ways = rig.directions();
        ways[1 - index].flows().await;
        let began = Instant::now();
        ways[index].send(&vec![7; 30_000]).await;
        ways[index].receive(30_000).await;
        let took = Instant::now() - began;
        // The first slice goes at once.
        assert!((millis(2980)..=millis(3010)).contains(&took), "{took:?}");
        rig.apply(only(Command::pass()));
        rig.directions()[index].flows().await;
    }
}

#[tokio::test(start_paused = true)]
async fn black_hole_holds_what_is_sent_and_pass_delivers_it() {
    for index in [0, 1] {
        let mut rig = Rig::new().await;
        let only = rig.directions()[index].only;
        rig.apply(only(Command::black_hole()));
        let mut ways = rig.directions();
        ways[index].send(b"held").await;
        ways[index].is_silent().await;
        ways[1 - index].flows().await;
        rig.apply(only(Command::pass()));
        let mut ways = rig.directions();
        assert_eq!(ways[index].receive(4).await, b"held");
        ways[index].flows().await;
    }
}

#[tokio::test(start_paused = true)]
async fn black_hole_holds_the_end_and_the_handshake_too() {
    let mut rig = Rig::new().await;
    rig.apply(Command::black_hole());
    rig.client.shutdown().await.expect("open");
    rig.directions()[0].is_silent().await;
    let mut late = TcpStream::connect(rig.proxy.addr()).await.expect("by the system");
    late.write_all(b"late").await.expect("writable");
    assert!(timeout(Duration::from_secs(3600), rig.upstream.accept()).await.is_err());
    rig.apply(Command::pass());
    assert_eq!(end(&mut rig.server).await, Ok(0));
    let (mut server, _) = soon(rig.upstream.accept()).await.expect("dialled");
    assert_eq!(end(&mut server).await, Ok(4));
}

#[tokio::test(start_paused = true)]
async fn discarded_bytes_never_come_but_the_next_and_the_end_do() {
    for index in [0, 1] {
        let mut rig = Rig::new().await;
        let only = rig.directions()[index].only;
        rig.apply(only(Command::discard()));
        let mut ways = rig.directions();
        ways[index].send(b"lost").await;
        ways[index].is_silent().await;
        ways[1 - index].flows().await;
        rig.apply(only(Command::pass()));
        rig.directions()[index].flows().await;

        rig.apply(only(Command::discard()));
        let mut ways = rig.directions();
        ways[index].send(b"lost").await;
        ways[index].sender.shutdown().await.expect("open");
        ways[index].is_silent().await;
        rig.apply(only(Command::pass()));
        let [one, two] = [&mut rig.server, &mut rig.client];
        assert_eq!(end(if index == 0 { one } else { two }).await, Ok(0));
    }
}

#[tokio::test(start_paused = true)]
async fn half_close_ends_one_direction_and_swallows_what_follows() {
    for index in [0, 1] {
        let mut rig = Rig::new().await;
        let only = rig.directions()[index].only;
        rig.directions()[index].send(b"before").await;
        soon(rig.proxy.until(|proxy| {
            proxy.delivered(Direction::ToServer) + proxy.delivered(Direction::ToClient) == 6
        }))
        .await;
        rig.apply(only(Command::half_close()));
        let mut ways = rig.directions();
        let mut received = Vec::new();
        soon(ways[index].receiver.read_to_end(&mut received)).await.expect("an end");
        assert_eq!(received, b"before");
        ways[1 - index].flows().await;
        ways[index].send(&vec![0; 1 << 20]).await;
        ways[1 - index].flows().await;
        assert_eq!(rig.proxy.connections(), 1);
        drop((rig.client, rig.server));
        soon(rig.proxy.until(|proxy| proxy.connections() == 0)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn reset_is_seen_by_the_side_it_is_for() {
    let reset = Err(ErrorKind::ConnectionReset);
    for (command, at_client, at_server) in [
        (Command::reset(), reset, reset),
        (Command::reset().to_client(), reset, Ok(0)),
        (Command::reset().to_server(), Ok(0), reset),
    ] {
        let mut rig = Rig::new().await;
        rig.apply(command);
        assert_eq!(rig.proxy.connections(), 0);
        assert_eq!(end(&mut rig.client).await, at_client, "{command}");
        assert_eq!(end(&mut rig.server).await, at_server, "{command}");
        let (client, server) = connect(&rig.proxy, &rig.upstream).await;
        (rig.client, rig.server) = (client, server);
        rig.directions()[0].flows().await;
    }
}

#[tokio::test(start_paused = true)]
async fn fresh_connections_can_be_reset_and_existing_ones_spared() {
    let mut rig = Rig::new().await;
    rig.apply(Command::reset().fresh());
    let mut refused = TcpStream::connect(rig.proxy.addr()).await.expect("accepted");
    assert_eq!(end(&mut refused).await, Err(ErrorKind::ConnectionReset));
    rig.directions()[0].flows().await;
    assert_eq!((rig.proxy.accepted(), rig.proxy.connections()), (2, 1));
    rig.apply(Command::pass());
    connect(&rig.proxy, &rig.upstream).await;
}

#[tokio::test(start_paused = true)]
async fn commands_for_existing_or_fresh_connections_leave_the_others() {
    let mut rig = Rig::new().await;
    rig.apply(Command::black_hole().existing());
    let (mut client, mut server) = connect(&rig.proxy, &rig.upstream).await;
    client.write_all(b"new").await.expect("writable");
    assert_eq!(end(&mut server).await, Ok(3));
    rig.directions()[0].send(b"old").await;
    rig.directions()[0].is_silent().await;
    rig.apply(Command::pass().existing());
    assert_eq!(rig.directions()[0].receive(3).await, b"old");

    rig.apply(Command::delay(millis(300), Duration::ZERO).to_server().fresh());
    rig.directions()[0].flows().await;
    let (mut client, mut server) = connect(&rig.proxy, &rig.upstream).await;
    let began = Instant::now();
    client.write_all(b"new").await.expect("writable");
    assert_eq!(end(&mut server).await, Ok(3));
    assert_eq!(Instant::now() - began, millis(300));
}

#[tokio::test(start_paused = true)]
async fn refused_connections_fail_the_port_stays_ours_and_open_ones_live() {
    let mut rig = Rig::new().await;
    for _ in 0..3 {
        rig.apply(Command::refuse());
        rig.apply(Command::refuse());
        let error = TcpStream::connect(rig.proxy.addr()).await.expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let taken = TcpListener::bind(rig.proxy.addr()).await;
        assert_eq!(taken.expect_err("it is reserved").kind(), ErrorKind::AddrInUse);
        rig.directions()[0].flows().await;
        rig.apply(Command::accept());
        rig.apply(Command::accept());
        let (client, server) = connect(&rig.proxy, &rig.upstream).await;
        drop((client, server)); // leaves a connection in TIME_WAIT on the port
        rig.directions()[1].flows().await;
    }
}

#[tokio::test(start_paused = true)]
async fn nacos_front_is_two_ports_that_are_refused_together() {
    let server = Server::start().await.expect("free ports");
    let proxy = FaultProxy::nacos(server.addr()).await.expect("free ports");
    let ports = [proxy.addr(), proxy.grpc_addr().expect("in front of a Nacos server")];
    assert_eq!(ports[1].port() - ports[0].port(), 1000);
    let _grpc = TcpStream::connect(ports[1]).await.expect("accepted");
    soon(server.until(|server| server.connects() == 1)).await;

    let mut http = TcpStream::connect(ports[0]).await.expect("accepted");
    let request = b"GET /nacos/v1/console/health/readiness HTTP/1.1\r\nhost: n\r\n\r\n";
    http.write_all(request).await.expect("writable");
    let mut status = [0; 12];
    soon(http.read_exact(&mut status)).await.expect("an answer");
    assert!(status.starts_with(b"HTTP/1.1 "), "{status:?}");

    proxy.apply(Command::refuse()).expect("closed");
    for port in ports {
        let error = TcpStream::connect(port).await.expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }
    proxy.apply(Command::accept()).expect("reserved");
    for port in ports {
        TcpStream::connect(port).await.expect("accepted");
    }
}

#[tokio::test]
async fn server_without_a_port_for_grpc_is_refused_at_the_start() {
    let upstream = "127.0.0.1:64536".parse().expect("an address");
    let error = FaultProxy::nacos(upstream).await.expect_err("65536 is no port");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test(start_paused = true)]
async fn drop_closes_ports_and_connections_at_once() {
    for command in [Command::pass(), Command::black_hole(), Command::refuse()] {
        let Rig { proxy, mut client, mut server, .. } = Rig::new().await;
        proxy.apply(command).expect("applied");
        let addr = proxy.addr();
        drop(proxy);
        TcpListener::bind(addr).await.expect("the port is free again");
        assert_eq!(end(&mut client).await, Ok(0));
        assert_eq!(end(&mut server).await, Ok(0));
        assert!(TcpStream::connect(addr).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn drop_ends_a_connection_whose_server_was_never_reached() {
    let Rig { proxy, upstream, .. } = Rig::new().await;
    proxy.apply(Command::black_hole()).expect("applied");
    let mut late = TcpStream::connect(proxy.addr()).await.expect("accepted");
    soon(proxy.until(|proxy| proxy.accepted() == 2)).await;
    drop(proxy);
    assert_eq!(end(&mut late).await, Ok(0));
    assert!(timeout(Duration::from_secs(60), upstream.accept()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn script_waits_for_connections_bytes_and_time() {
    let mut rig = Rig::new().await;
    let script = Script::new()
        .after_connections(2, Command::delay(millis(10), Duration::ZERO).existing())
        .after_bytes(3, Command::black_hole())
        .after(Duration::from_secs(5), Command::reset());
    let began = Instant::now();
    let story = async {
        let _second = connect(&rig.proxy, &rig.upstream).await;
        let _third = connect(&rig.proxy, &rig.upstream).await;
        soon(rig.proxy.until(|proxy| proxy.accepted() == 3)).await;
        tokio::task::yield_now().await;
        rig.client.write_all(b"abc").await.expect("writable");
        assert_eq!(end(&mut rig.server).await, Ok(3));
        assert_eq!(Instant::now() - began, millis(10));
        assert_eq!(end(&mut rig.client).await, Err(ErrorKind::ConnectionReset));
    };
    let (played, ()) = soon(async { tokio::join!(rig.proxy.play(&script), story) }).await;
    played.expect("no port was taken");
    assert_eq!(Instant::now() - began, millis(5010));
}

#[tokio::test(start_paused = true)]
async fn seed_replays_and_its_script_heals_in_its_time() {
    let within = Duration::from_secs(20);
    let mut different = 0;
    for seed in 0..200 {
        let script = Script::random(seed, within);
        assert_eq!(script.to_string(), Script::random(seed, within).to_string());
        different += u32::from(script.to_string() != Script::random(seed + 1, within).to_string());
        assert!(script.to_string().starts_with(&format!("seed {seed}\n")));
        assert!(!script.to_string().contains("discard"));
    }
    assert!(different > 190, "only {different} seeds differ");

    for seed in 0..20 {
        let rig = Rig::new().await;
        let began = Instant::now();
        let script = Script::random(seed, within);
        soon(rig.proxy.play(&script)).await.expect("no port was taken");
        assert_eq!(Instant::now() - began, within, "{script}");
        let mut healed =
            Rig { client: TcpStream::connect(rig.proxy.addr()).await.expect("open"), ..rig };
        // Connections that were accepted under a fault may come first.
        healed.client.write_all(b"healed").await.expect("writable");
        let mut seen = 0;
        while seen == 0 {
            let (mut server, _) = soon(healed.upstream.accept()).await.expect("dialled");
            seen = end(&mut server).await.unwrap_or_default();
        }
    }
}
