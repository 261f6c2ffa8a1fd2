//! Clients leave nothing behind: no task, no descriptor, no thread.
//!
//! A binary of its own with a single test, because what is counted is the whole process's.
#[cfg(target_os = "linux")]
mod held;

#[cfg(target_os = "linux")]
mod lives {
    use nacos_core::{Client, ClientBuilder, ErrorKind, Instance, Registration, Watch};
    use nacos_testkit::{Server, TimeLimit};
    use tokio::time::Duration;

    use crate::held::Held;

    /// How a client begins and ends.
    #[derive(Clone, Copy, Debug)]
    enum Life {
        Dropped,
        GuardsDroppedLast,
        ShutDown,
        NeverConnected,
        Refused,
        Denied,
    }

    /// The handles that keep a session alive.
    #[derive(Default)]
    struct Alive(Vec<Client>, Vec<Registration>, Vec<Watch>);

    impl Life {
        /// A client; its handles that live on when it has done its work are added to `alive`.
        async fn begin(self, server: &Server, builder: ClientBuilder, alive: &mut Alive) {
            let builder = builder.server_addr(server.addr().to_string());
            let failed = match self {
                Self::NeverConnected => {
                    let builder = builder.server_addr(NOBODY);
                    alive.0.push(builder.connect_lazy().expect("valid options"));
                    return;
                }
                Self::Refused => {
                    Some((builder.clone().server_addr(NOBODY), ErrorKind::Disconnected))
                }
                Self::Denied => {
                    Some((builder.clone().credentials("nacos", "wrong"), ErrorKind::Denied))
                }
                Self::Dropped | Self::GuardsDroppedLast | Self::ShutDown => None,
            };
            if let Some((builder, kind)) = failed {
                assert_eq!(builder.connect().await.expect_err("not there").kind(), kind);
                return;
            }
            let client = builder.credentials("nacos", "right").connect().await.expect("connects");
            let instance = Instance::new("10.0.0.1", 80);
            let registration = client.naming().register("orders", instance).expect("valid");
            let registration = registration.ready().await.expect("registered");
            let watch = client.configs().watch("d").expect("valid").ready().await;
            alive.0.push(client);
            alive.1.push(registration);
            alive.2.push(watch.expect("an answer"));
        }

        async fn end(self, alive: Alive) {
            let Alive(clients, registrations, watches) = alive;
            match self {
                Self::GuardsDroppedLast => {
                    drop(clients);
                    drop((registrations, watches));
                }
                Self::ShutDown => {
                    for client in &clients {
                        client.shutdown(Duration::from_secs(30)).await;
                    }
                }
                Self::Dropped | Self::NeverConnected | Self::Refused | Self::Denied => {
                    drop((registrations, watches));
                    drop(clients);
                }
            }
        }
    }

    #[test]
    fn four_hundred_clients_leave_no_task_descriptor_or_thread() {
        let _limit = TimeLimit::start();
        // Threads that wait for work that may block go as soon as there is none.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .thread_keep_alive(Duration::from_millis(1))
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            // Which denies a wrong password at once.
            let server = Server::builder().behaviour(nacos_testkit::Behaviour::Nacos2_3);
            let server = server.credentials("nacos", "right").start().await;
            let server = server.expect("ports on loopback");
            for life in [
                Life::Dropped,
                Life::GuardsDroppedLast,
                Life::ShutDown,
                Life::NeverConnected,
                Life::Refused,
                Life::Denied,
            ] {
                for dedicated in [false, true] {
                    leave_nothing(&server, life, dedicated).await;
                }
            }
        });
    }

    async fn leave_nothing(server: &Server, life: Life, dedicated: bool) {
        let builder = Client::builder().dedicated_thread(dedicated);
        let before = Held::now();
        // Four hundred of the most frequent life; of the others what would show.
        let rounds = if matches!(life, Life::Dropped) { 8 } else { 1 };
        for _ in 0..rounds {
            let mut alive = Alive::default();
            for _ in 0..CLIENTS {
                life.begin(server, builder.clone(), &mut alive).await;
            }
            if !alive.0.is_empty() {
                let now = Held::now();
                assert!(now.exceeds(&before, CLIENTS), "nothing is counted: {now:?}, {before:?}");
            }
            life.end(alive).await;
            let left = before.is_reached().await;
            assert!(left.is_ok(), "{life:?}, dedicated: {dedicated}: {left:?}, before {before:?}");
        }
    }

    const CLIENTS: usize = 50;
    /// No server listens on port 1.
    const NOBODY: &str = "127.0.0.1:1";
}

#[cfg(not(target_os = "linux"))]
#[test]
#[ignore = "skipped: only Linux shows what a process holds"]
fn four_hundred_clients_leave_no_task_descriptor_or_thread() {}
