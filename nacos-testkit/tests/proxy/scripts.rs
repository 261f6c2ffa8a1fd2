//! Scripts, written down and random.

use std::{io::ErrorKind, time::Duration};

use nacos_testkit::proxy::{Command, Script};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::Instant};

use crate::rig::{Rig, connect, end, millis, soon};

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
