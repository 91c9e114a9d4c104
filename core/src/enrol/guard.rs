//! Keeps revoked boxes out: at every door, and out of connections that are open already.

use super::View;
use crate::{door::count_refused, meta, raft::Groups};
use schulhof_net::{
    identity::{KeyHash, Role, peer_certificate},
    quic::{Accepted, FrameWriter},
};
use schulhof_wire::{
    enrol::{ALPN_ENROL, EnrolAnswer, code},
    node::{ALPN_SYNC, ToBox},
};
use serde::Serialize;
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::timeout};

/// With this code a connection is closed whose box was revoked.
const CLOSE_REVOKED: u32 = 3;
/// A revoked box that asks is told why within this time.
const FAREWELL_MAX: Duration = Duration::from_secs(2);

/// Knows whom the operators have turned away.
#[derive(Clone)]
pub struct Guard {
    view: watch::Receiver<Arc<meta::View>>,
}

impl Guard {
    pub fn new(groups: &Groups) -> Self {
        Self { view: groups.view() }
    }

    /// Lets a connection be served, unless its box was revoked, and until it is. Applies to boxes alone: other nodes are not
    /// enrolled.
    pub async fn watch(mut self, accepted: &Accepted, serving: impl Future<Output = ()>) {
        let key = match accepted.peer.role {
            Role::Box => peer_certificate(&accepted.connection).and_then(|certificate| KeyHash::of(&certificate).ok()),
            _ => None,
        };
        let Some(key) = key else { return serving.await };
        if self.is_revoked(|view| view.is_revoked(key)) {
            refuse(accepted).await;
            return;
        }
        // False: the node is stopping, which is no revocation.
        let revoked = async { self.view.wait_for(|view| view.enrol.is_revoked(key)).await.is_ok() };
        tokio::select! {
            () = serving => {}
            true = revoked => {
                tracing::warn!(peer = %accepted.peer, "cut: the box was revoked");
                count_refused(code::REVOKED);
                accepted.connection.close(CLOSE_REVOKED.into(), code::REVOKED.as_bytes());
            }
        }
    }

    fn is_revoked(&mut self, of: impl Fn(&View) -> bool) -> bool {
        of(&self.view.borrow_and_update().enrol)
    }
}

/// Says so in the door's own words where there are such, then closes.
async fn refuse(accepted: &Accepted) {
    tracing::warn!(peer = %accepted.peer, "refused: the box was revoked");
    count_refused(code::REVOKED);
    let (code, detail) = (code::REVOKED.to_owned(), "an operator has revoked this box".to_owned());
    let connection = &accepted.connection;
    let farewell = async {
        match accepted.alpn.as_slice() {
            ALPN_SYNC => say(connection, &ToBox::Refused { code, detail }).await,
            ALPN_ENROL => say(connection, &EnrolAnswer::Refused { code, detail }).await,
            _ => {}
        }
    };
    let _ = timeout(FAREWELL_MAX, farewell).await;
    connection.close(CLOSE_REVOKED.into(), code::REVOKED.as_bytes());
}

async fn say<T: Serialize>(connection: &quinn::Connection, frame: &T) {
    let Ok((send, _receive)) = connection.accept_bi().await else { return };
    let mut writer = FrameWriter::new(send);
    if writer.write(frame).await.is_ok() {
        writer.delivered().await;
    }
}
