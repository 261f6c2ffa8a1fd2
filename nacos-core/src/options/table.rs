//! The table of the options. Its order is that of the documentation: servers first, then
//! credentials, then everything else.
use super::macros::{options, value};

/// Hands the table to the macro `$expand`.
macro_rules! table {
    ($expand:ident) => {
        $expand! {
            /// The servers: `host[:port]`, several separated by `,` or `;`. The port is the main
            /// (HTTP) one, 8848 if it is left out; an IPv6 address stands in brackets. A path
            /// behind an address is the `context_path`.
            ///
            /// Several addresses of one name are one server: each is tried until one answers.
            server_addr: text, default "none; this, `endpoint` or `server_dns` is required",
                also "serverAddr";

            /// The address server that lists the servers, one a line: `host[:port]`, or a URL. The
            /// path of a URL is used as it is. The client reads the list again while it runs, and
            /// leaves a server that is no longer in the list. The other options `endpoint_…` are an
            /// error where there is no address server, except `endpoint_refresh`.
            endpoint: text, default "none", also "ALIBABA_ALIWARE_ENDPOINT_URL";

            /// The port of the address server, if `endpoint` names none.
            endpoint_port: port, default "8080; 80 for a URL",
                also "endpointPort" "ALIBABA_ALIWARE_ENDPOINT_PORT";

            /// The folder of the list on the address server.
            endpoint_context_path: text, default "`nacos`",
                also "endpointContextPath" "ALIBABA_ALIWARE_ENDPOINT_CONTEXT_PATH";

            /// The name of the list on the address server.
            endpoint_cluster_name: text, default "`serverlist`", also "endpointClusterName";

            /// Sent to the address server too, URL-encoded: `a=1&b=2`. Never shown, so that it may
            /// hold a token. The namespace of services is always sent, unless it is the default
            /// one.
            endpoint_query: secret, default "none", also "endpointQueryParams";

            /// How often the list of servers is read anew, from the address server or from DNS,
            /// give or take a fifth; at least a second. At once when no server of the known list
            /// answers. It means nothing for the servers of a `server_addr`.
            endpoint_refresh: time, default "30s", also_in seconds "endpointRefreshIntervalSeconds";

            /// One name, `host[:port]`, such as that of a headless service of Kubernetes. Each of
            /// its addresses is a server of its own. The client resolves the name again every
            /// `endpoint_refresh`. It reads `A` and `AAAA` records, and no `SRV` records.
            ///
            /// Each answer has to name all servers. The client leaves a server that is missing from
            /// two answers, half an `endpoint_refresh` apart. A resolver that answers with only
            /// some of many addresses therefore moves the client again and again. Over TLS each
            /// address has to show a certificate of the name, or of `tls_server_name` if that is
            /// given.
            server_dns: text, default "none";

            /// The namespace (its id, not its display name) of documents and services.
            namespace: text, default "the default namespace, also spelled `public`",
                also "ALIBABA_ALIWARE_NAMESPACE";

            /// The namespace of documents, if it is another than that of services.
            config_namespace: text, default "`namespace`";

            /// The namespace of services, if it is another than that of documents.
            naming_namespace: text, default "`namespace`";

            /// Whether the server is asked, beside the connection, which namespaces it has: one
            /// that it does not list is warned about, once. Asked when a connection serves that has
            /// a namespace other than the default, and when a key first names another one, for 32
            /// of them at most. Asked over HTTP at the main port, with the token of the login if
            /// there was one. Servers of the 3.x line tell administrators only; where nothing is
            /// said, nothing is warned about.
            check_namespaces: flag, default "`true`";

            /// How far the gRPC port lies above the main port.
            grpc_port_offset: port, default "1000", also "nacos.server.grpc.port.offset";

            /// The user to log in; needs a `password` or a `password_file`.
            username: text, default "nobody logs in";

            /// The password of `username`. It goes into the body of the login and nowhere else.
            password: secret, default "none";

            /// A file that holds the password of `username`, read again at each login.
            password_file: text, default "none";

            /// The path below which servers answer HTTP, and so the login; `/` if they do so at the
            /// root.
            context_path: text, default "`nacos`";

            /// Whether a client whose login fails uses no server. Without this option the client
            /// uses a server that demands no login, as the Java client does. It does so when the
            /// login is refused, and when the login reaches no server. It then marks its state,
            /// warns once, and tries the login again at least every minute. The option means
            /// nothing where there are no credentials.
            require_login: flag, default "`false`";

            /// A token that was obtained elsewhere, in place of a login.
            access_token: secret, default "none";

            /// A file that holds such a token, read again every 30 s and when a server refuses it.
            access_token_file: text, default "none";

            /// The issuer of an OIDC provider that grants tokens to machines: a URL, below which
            /// `/.well-known/openid-configuration` names the token endpoint. Needs an
            /// `oidc_client_id` and an `oidc_client_secret`. Servers take such tokens from 3.2 on;
            /// this was *not seen* with a real server.
            oidc_issuer: text, default "none", also "nacos.client.auth.oidc.issuer-uri";

            /// The URL of the token endpoint, for a provider without that document; with it no
            /// `oidc_issuer` is needed, and none is asked.
            oidc_token_endpoint: text, default "none",
                also "nacos.client.auth.oidc.token-endpoint";

            /// The id of this client at the provider.
            oidc_client_id: text, default "none", also "nacos.client.auth.oidc.client-id";

            /// The secret of `oidc_client_id`. It goes to the token endpoint and nowhere else.
            oidc_client_secret: secret, default "none",
                also "nacos.client.auth.oidc.client-secret";

            /// A file that holds the secret of `oidc_client_id`, read again for each token.
            oidc_client_secret_file: text, default "none";

            /// The scopes to ask for, with blanks between them. With a blank alone the parameter is
            /// left out.
            oidc_scope: text, default "`openid`", also "nacos.client.auth.oidc.scope";

            /// The audience to ask for, as the parameter `audience`, which several providers read.
            /// Servers in strict mode, which is the default, want their own client id as `aud` or
            /// `azp` of a token.
            oidc_audience: text, default "none";

            /// The resource to ask for, as the parameter `resource` (RFC 8707).
            oidc_resource: text, default "none";

            /// The place of the secret in a request for a token: the body, or the header
            /// `Authorization`.
            oidc_auth_method: oidc_auth_method,
                default "`client_secret_post`, unless the provider names the other one alone";

            /// The authorities whose signature on the provider's certificate is trusted, in place
            /// of the system's: a PEM file, read again for each token. The options `tls_…` are
            /// about the Nacos servers.
            oidc_ca_file: text, default "the system's authorities";

            /// Whether the secret may travel unencrypted, to a provider whose URL says `http://`.
            /// To this very host it may in any case.
            oidc_allow_http: flag, default "`false`";

            /// The name of a header that every request carries, for proxies and authentication
            /// plugins that look at it; needs an `identity_value`.
            identity_key: text, default "none";

            /// The value of the header `identity_key`.
            identity_value: secret, default "none";

            /// An Aliyun access key (RAM), by which each request is signed; needs a `secret_key` or
            /// a `secret_key_file`, and the feature `ram`.
            access_key: secret, default "none";

            /// A file that holds the access key, read again every 30 s and when a server refuses a
            /// request.
            access_key_file: text, default "none";

            /// The secret of `access_key`. It is never sent.
            secret_key: secret, default "none";

            /// A file that holds the secret of the access key, read again with it.
            secret_key_file: text, default "none";

            /// The token of an access key that is temporary (STS).
            security_token: secret, default "none";

            /// A file that holds the token of a temporary access key, read again with it.
            security_token_file: text, default "none";

            /// The region to which signatures are bound. With it they are of version 4, otherwise
            /// of version 1.
            signature_region: text, default "none", also "signatureRegionId";

            /// Whether gRPC is spoken over TLS. HTTP, which the login takes, follows it too, unless
            /// an address says `http://` or `https://` for itself. Needs the cargo feature `tls`.
            tls: flag, default "as the address says: with `https://`",
                also "nacos_remote_client_rpc_tls_enable" "nacos.remote.client.rpc.tls.enable";

            /// The authorities whose signature is trusted, in place of the system's: a PEM file,
            /// read again for each new connection.
            tls_ca_file: text, default "the system's authorities, read once",
                also "nacos_remote_client_rpc_tls_trustCollectionChainPath" "nacos.remote.client.rpc.tls.trustCollectionChainPath";

            /// The client's certificate, with its chain, for servers that demand one: a PEM file,
            /// read again for each new connection. Needs a `tls_key_file`.
            tls_cert_file: text, default "none",
                also "nacos_remote_client_rpc_tls_certChainFile" "nacos.remote.client.rpc.tls.certChainFile";

            /// The key of `tls_cert_file`, unencrypted: a PEM file.
            tls_key_file: text, default "none",
                also "nacos_remote_client_rpc_tls_certPrivateKey" "nacos.remote.client.rpc.tls.certPrivateKey";

            /// The name that the servers' certificates have to show. That of an address server is
            /// always its own.
            tls_server_name: text, default "the host as it is dialled, or the name in `server_dns`";

            /// The oldest version of TLS that is spoken.
            tls_min_version: tls_version, default "1.2";

            /// Certificates are always checked: `true`, with which other clients trust everybody,
            /// is an error that says what to do instead, wherever TLS is spoken.
            tls_trust_all: flag, default "`false`",
                also "nacos_remote_client_rpc_tls_trustAll" "nacos.remote.client.rpc.tls.trustAll";

            /// The application's name, shown in consoles.
            app: text, default "`unknown`", also "project.name";

            /// The labels of the client's connections, `name=value`, several separated by `,`: by
            /// them servers choose the gray version of a document that they show to it. Java
            /// servers show the version of a gray tag to clients with the label `Vipserver-Tag` of
            /// that name, as in `Vipserver-Tag=blue`. Letters, digits and `_ - . :`, at most 128
            /// characters each; 64 labels. r-nacos has no gray versions.
            app_labels: text, default "none",
                also "nacos_app_conn_labels" "nacos.app.conn.labels";

            /// How long `connect` tries, all servers together.
            connect_timeout: time, default "5s";

            /// For one request, waiting for a connection and repetitions included.
            request_timeout: time, default "10s";

            /// The longest delay between two searches for a server, in an outage of more than 75 s;
            /// at least 250 ms.
            backoff_cap: time, default "10s";

            /// The largest message that is read. A larger one costs itself, not the session.
            receive_limit: bytes, default "64 MiB", also "nacos.remote.client.grpc.maxinbound.message.size";

            /// How much metadata an instance may have: characters of all keys and values. More is
            /// refused before anything is sent. Servers since 2.3 refuse more than 1024, unless
            /// they are told otherwise (`nacos.naming.service.metadata.length`).
            max_metadata: count, default "1024";

            /// The largest publish that is sent: the bytes of the whole request, in which quotes,
            /// line ends and control characters of the content take two to six bytes each. A larger
            /// one is refused before anything is sent. Java servers read 10 MiB, unless they are
            /// told otherwise by `nacos.remote.server.grpc.sdk.max-inbound-message-size`; r-nacos
            /// has no limit.
            max_publish: bytes, default "10 MiB";

            /// How long each filter may take for one document; at least 10 ms.
            filter_timeout: time, default "5s";

            /// Runs the session on a thread of its own, so that a runtime whose workers are all
            /// blocked costs neither the connection nor a registration.
            dedicated_thread: flag, default "false: the ambient runtime";

            /// The directory in which documents are kept, for a start without a server. Watched
            /// documents are written there as they are received, readable by their owner alone; an
            /// encrypted document stays cipher text. A client of `from_env` keeps them by default;
            /// `NACOS_SNAPSHOT_DIR=` (empty) switches that off. A directory that cannot be written
            /// to costs a warning, and nothing else. Several processes may share it.
            snapshot_dir: text,
                default "none; with `from_env`: `$XDG_STATE_HOME/nacos`, or else `$HOME/.local/state/nacos`";

            /// Where a watch takes the first state of its document from, unless it says so itself:
            /// the server alone; the server, and the snapshot if none can be reached or none
            /// answers within 3 s; the snapshot at once, while the server is asked; or the snapshot
            /// alone, without a server. A snapshot of more than 7 days counts in the last case
            /// only. It means nothing without a `snapshot_dir`.
            start_policy: start_policy, default "`remote_then_snapshot`";

            /// The name of the cluster below `snapshot_dir`: clients of one cluster share what is
            /// kept there, and those of another never see it. The default follows the options and
            /// not what an address server answers. So another `server_addr` is another cluster,
            /// and so is another `endpoint_query`, unless this option says otherwise.
            snapshot_scope: text,
                default "a digest of the servers, or of what lists them, and of the `context_path`";

            /// A directory of an operator's files, which win over the server: the content of
            /// `<namespace>/<group>/<data id>` below it stands in place of that document, for
            /// watches and for `get`, until the file is gone. The default namespace is the folder
            /// `public`. The client never writes there, looks about once a second, and warns of
            /// each file that it finds. Other characters than letters, digits and `_ - .` are
            /// percent-encoded in these names.
            override_dir: text, default "none";

            /// Silence after which the server is asked whether it is there; at least 100 ms.
            health_check_interval: time, default "4900ms",
                also_in millis "nacos.remote.client.grpc.connect.keep.alive";

            /// An unanswered health check makes the connection suspect after this: another is
            /// dialled beside it. At least 10 ms.
            suspect_after: time, default "1s";

            /// Tells this client from all others of its servers: after an event that all of them
            /// have seen, a hash of it is the turn of this client within `pull_stagger`. Clients of
            /// one name have one turn, so no two should have the same; a blank one counts as not
            /// given. Where the system does not tell the host's name in a file, as Linux does, it
            /// is left out.
            instance_id: text, default "the name of the host, the process id and a random number";

            /// How many watched documents the client may ask for at once; at least one. Each costs
            /// a token, a `get` costs none. A client that begins may ask for every document once,
            /// however many there are. Some tokens are kept for pushes, and some for starts: a
            /// twentieth of the bucket and a fifth of it, and no more than 5 and 20.
            pull_burst: count, default "twice as many as are watched, at least 100";

            /// How many tokens come back in a second; at least one. Half as many, a quarter or an
            /// eighth for 30 s after each time that the server says it is overloaded.
            pull_rate: count, default "a sixtieth of what is watched, at least 10";

            /// The longest that a client waits after a mass event before it asks for documents that
            /// have changed meanwhile; none with `0s`. A mass event is that no server has answered
            /// for `mass_outage`, or that two have dropped the client within `mass_drops`. The
            /// document of a push, and one of which nothing is known yet, is asked for at once.
            pull_stagger: time, default "1s";

            /// An outage of this length is a mass event: all clients of the server have noticed it.
            mass_outage: time, default "3s";

            /// Two servers that drop the client within this time are a mass event: they have
            /// dropped others, too.
            mass_drops: time, default "10s";

            /// After so many timeouts in a row of queries for watched documents, the client shows
            /// what it has and asks for nothing, until the server answers a listen; never with 0.
            read_only_after: count, default "5";

            /// The pause before such a client listens again to see whether the server answers: any
            /// part of this, of twice this, of four times this, and so on. At least 1 s.
            read_only_probe: time, default "5s";

            /// The longest of these pauses.
            read_only_probe_cap: time, default "60s";

            /// A client that has been read-only or frozen for this long is an alarm: in its log, in
            /// `storm()` and in a metric.
            pull_alarm_after: time, default "60s";
        }
    };
}

pub(crate) use table;

table!(options);
