//! The table. The order is that of the documentation: where, as whom, how.
use super::macros::options;

options! {
    /// The servers: `host[:port]`, several separated by `,` or `;`. The port is the main (HTTP)
    /// one, 8848 if it is left out; an IPv6 address stands in brackets.
    server_addr: text, default "none, required", also "serverAddr";

    /// The namespace (its id, not its display name) of documents and services.
    namespace: text, default "the default namespace, also spelled `public`",
        also "ALIBABA_ALIWARE_NAMESPACE";

    /// The namespace of documents, if it is another than that of services.
    config_namespace: text, default "`namespace`";

    /// The namespace of services, if it is another than that of documents.
    naming_namespace: text, default "`namespace`";

    /// How far the gRPC port lies above the main port.
    grpc_port_offset: port, default "1000", also "nacos.server.grpc.port.offset";

    /// The user to log in; needs a `password` or a `password_file`.
    username: text, default "nobody logs in";

    /// The password of `username`. It goes into the body of the login and nowhere else.
    password: secret, default "none";

    /// A file that holds the password of `username`, read again at each login.
    password_file: text, default "none";

    /// A token that was obtained elsewhere, in place of a login.
    access_token: secret, default "none";

    /// A file that holds such a token, read again every 30 s and when a server refuses it.
    access_token_file: text, default "none";

    /// The name of a header that every request carries, for proxies and authentication plugins that
    /// look at it; needs an `identity_value`.
    identity_key: text, default "none";

    /// The value of the header `identity_key`.
    identity_value: secret, default "none";

    /// An Aliyun access key (RAM), by which each request is signed; needs a `secret_key` or a
    /// `secret_key_file`, and the feature `ram`.
    access_key: text, default "none", also "accessKey";

    /// A file that holds the access key, read again every 30 s and when a server refuses a request.
    access_key_file: text, default "none";

    /// The secret of `access_key`. It is never sent.
    secret_key: secret, default "none", also "secretKey";

    /// A file that holds the secret of the access key, read again with it.
    secret_key_file: text, default "none";

    /// The token of an access key that is temporary (STS).
    security_token: secret, default "none";

    /// A file that holds the token of a temporary access key, read again with it.
    security_token_file: text, default "none";

    /// The region to which signatures are bound. With it they are of version 4, otherwise of
    /// version 1.
    signature_region: text, default "none", also "signatureRegionId";

    /// The application's name, shown in consoles.
    app: text, default "`unknown`", also "project.name";

    /// How long `connect` tries, all servers together.
    connect_timeout: time, default "5s";

    /// For one request, waiting for a connection and repetitions included.
    request_timeout: time, default "10s";

    /// The longest delay between two attempts to connect, in an outage of more than a minute; at
    /// least 250 ms.
    backoff_cap: time, default "10s";

    /// The largest message that is read. A larger one costs itself, not the session.
    receive_limit: bytes, default "64 MiB", also "nacos.remote.client.grpc.maxinbound.message.size";
}
