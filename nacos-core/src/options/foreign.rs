//! Names of other clients that are not read, because they mean something else or nothing here.
use super::plain;

/// Why `name` is not read, if another client has an option of that name.
pub(super) fn why(name: &str) -> Option<&'static str> {
    let name = plain(name);
    let group = FOREIGN.iter().find(|group| group.names.iter().any(|other| plain(other) == name));
    group.map(|group| group.why)
}

/// Names that are not read for the same reason.
pub(super) struct Foreign {
    pub(super) names: &'static [&'static str],
    /// The reason, and what to use instead.
    pub(super) why: &'static str,
}

/// In files each is an error that says why; in the environment they are ignored: they may be meant
/// for another client.
pub(super) const FOREIGN: &[Foreign] = &[
    Foreign {
        names: &["nacos.server.port"],
        why: "the port of a server stands in its address, in `server_addr`",
    },
    Foreign {
        names: &["clusterName"],
        why: "the list of an address server is `endpoint_cluster_name`, and the cluster of an \
              instance is said where it is registered",
    },
    Foreign {
        names: &["ramRoleName"],
        why: "logging in with the role of a machine is a matter of its cloud: implement \
              `Credentials` with what fetches the temporary key, or have it written to files and \
              name them in `access_key_file`, `secret_key_file` and `security_token_file`",
    },
    Foreign {
        names: &[
            "nacos.remote.client.grpc.timeout",
            "configRequestTimeout",
            "nacos.remote.client.grpc.retry.times",
            "namingRequestDomainMaxRetryCount",
            "maxRetry",
            "configRetryTime",
            "configLongPollTimeout",
        ],
        why: "each bounds a part of a request, and not the same part in every client: \
              `request_timeout` bounds a request with all of its tries",
    },
    Foreign {
        names: &[
            "nacos.remote.client.grpc.server.check.timeout",
            "nacos.remote.client.grpc.channel.capability.negotiation.timeout",
        ],
        why: "`connect_timeout` bounds all steps of connecting together",
    },
    Foreign {
        names: &[
            "nacos.remote.client.grpc.health.timeout",
            "nacos.remote.client.grpc.health.retry",
            "nacos.remote.client.grpc.channel.keep.alive",
            "nacos.remote.client.grpc.channel.keep.alive.timeout",
            "nacos.remote.grpc.keep.alive.millis",
        ],
        why: "no HTTP/2 pings are sent: `health_check_interval` says when the server is asked \
              whether it is there, and `suspect_after` when another is dialled",
    },
    Foreign {
        names: &[
            "nacos.remote.client.grpc.initial.window.size",
            "nacos.remote.client.grpc.initial.conn.window.size",
        ],
        why: "windows of HTTP/2 are not an option; `receive_limit` bounds a message",
    },
    Foreign {
        names: &[
            "nacos.remote.client.grpc.name",
            "nacos.remote.client.grpc.queue.size",
            "nacos.remote.client.grpc.pool.alive",
            "nacos.remote.client.grpc.pool.core.size",
            "nacos.remote.client.grpc.pool.core.timeout",
            "nacos.remote.client.grpc.pool.max.size",
            "clientWorkerThreadCount",
            "clientWorkerMaxThreadCount",
            "namingPollingThreadCount",
            "namingPollingMaxThreadCount",
            "namingClientBeatThreadCount",
            "redoDelayThreadCount",
            "redoDelayTime",
            "PER_TASK_CONFIG_SIZE",
        ],
        why: "a client is one task without a pool of threads, and what a server forgot is asserted \
              at once",
    },
    Foreign {
        names: &["nacos.remote.client.rpc.tls.protocols"],
        why: "the oldest version of TLS is `tls_min_version`",
    },
    Foreign {
        names: &["nacos.remote.client.rpc.tls.mutualAuth"],
        why: "a client with a `tls_cert_file` shows it to servers that demand one",
    },
    Foreign {
        names: &["nacos.remote.client.rpc.tls.certPrivateKeyPassword"],
        why: "the key in `tls_key_file` is unencrypted: guard the file",
    },
    Foreign {
        names: &["nacos.remote.client.rpc.tls.provider", "nacos.remote.client.rpc.tls.ciphers"],
        why: "TLS is spoken by rustls, with safe ciphers only",
    },
    Foreign {
        names: &[
            "JM.SNAPSHOT.PATH",
            "JM.LOG.PATH",
            "namingLoadCacheAtStart",
            "namingCacheRegistryDir",
            "nacos.cache.data.init.snapshot",
        ],
        why: "snapshots of documents have a form of their own, below `snapshot_dir`, and `start_policy` says when they are read; logs go to the subscriber of `tracing`",
    },
    Foreign {
        names: &[
            "namingPushEmptyProtection",
            "namingAsyncQuerySubscribeService",
            "enableRemoteSyncConfig",
            "enableClientMetrics",
            "logAllProperties",
        ],
        why: "there is nothing like it in this version",
    },
    Foreign {
        names: &["nacos_config_gray_label", "nacos.config.gray.label"],
        why: "it is one of the `app_labels`, under the name that the server's rule has for it",
    },
    Foreign {
        names: &["nacos_app_conn_labels_preferred"],
        why: "the order is fixed: code, our variables; `app_labels` of one replace those of another",
    },
    Foreign {
        names: &["NACOS_CLIENT_LOCAL_IP"],
        why: "the address of an instance is said where it is registered",
    },
    Foreign {
        names: &[
            "nacos.env.first",
            "nacos.use.cloud.namespace.parsing",
            "nacos.use.endpoint.parsing.rule",
            "nacos.use.ram.info.parsing",
            "isUseCloudNamespaceParsing",
            "isUseEndpointParsingRule",
        ],
        why: "the order is fixed: code, our variables, those of a platform",
    },
];

#[cfg(test)]
mod tests {
    use super::{super::Row, *};

    #[test]
    fn name_of_another_client_that_means_something_else_says_what_there_is_instead() {
        for name in FOREIGN.iter().flat_map(|group| group.names) {
            assert!(Row::find(name).is_none(), "{name} is read");
            let json = format!(r#"{{"{name}": "hunter2"}}"#);
            let error = serde_json::from_str::<crate::ClientOptions>(&json).expect_err(name);
            let error = error.to_string();
            assert!(error.contains(name) && error.contains(why(name).unwrap_or("?")), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn every_option_that_is_recommended_exists() {
        let mut options = 0;
        for group in FOREIGN {
            for word in group.why.split('`').skip(1).step_by(2) {
                if word.contains('_') {
                    assert!(Row::find(word).is_some_and(|row| row.name == word), "{word}");
                    options += 1;
                }
            }
        }
        assert!(options > 10, "only {options} options were found");
    }
}
