//! Where the servers are, if that may change: the list is read beside everything else.
use std::sync::Arc;

use super::{Driver, JobReport, now};
use crate::server_list::{Listing, read};

impl Driver {
    pub(super) fn fetch_server_list(&mut self) {
        let Some(list) = self.server_list.clone() else { return };
        let dialer = self.transport.dialer.clone();
        let context_path = Arc::clone(&self.access.context_path);
        self.jobs.push(Box::pin(async move {
            JobReport::ServerList(read(&dialer, &list, &context_path).await)
        }));
    }

    pub(super) fn server_list_read(&mut self, outcome: Result<Listing, String>) {
        let now = now();
        self.log.server_list(now, &outcome);
        let servers = outcome.map(|listing| listing.servers);
        if let Ok(servers) = &servers
            && self.readers.servers.publish_if_changed(servers.clone())
        {
            self.log.servers_changed(now, servers);
        }
        self.session.handle_servers(now, servers);
    }
}
