//! The TCP listener. By its first byte a connection is HTTP, which goes to hyper with limits of its own, so that a client
//! holds little before a handler runs; or it carries media packets (RFC 6544), and goes to the worker. So a network that
//! lets nobody but the door's port through has both.

use super::{
    framing::FRAME_LEN_MAX,
    streams::Arrived,
    worker::{Command, Commands},
};
use axum::Router;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};

/// Connections before their upgrade to a control channel (those are bounded by the sessions): a whole school's join storm.
const CONNECTIONS_MAX: usize = 4_096;
/// Time for the first byte, and for a request's headers, which also ends idle connections.
const HEADERS_MAX: Duration = Duration::from_secs(10);
/// Bytes of a request's headers, and of what is read ahead.
const BUFFER_LEN_MAX: usize = 32 * 1024;
const HEADERS_COUNT_MAX: usize = 64;
/// Wait after an accept that failed for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` turns true.
pub(super) async fn serve(listener: TcpListener, router: Router, worker: Commands, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (router, worker, stop) = (router.clone(), worker.clone(), stop.clone());
                tokio::spawn(async move {
                    match is_media(&stream).await {
                        Some(true) => hand_over(stream, peer, &worker),
                        Some(false) => connection(stream, router, stop).await,
                        None => {}
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Does it begin with the length of a packet, which no method of HTTP begins like? Nothing: it has not begun.
async fn is_media(stream: &TcpStream) -> Option<bool> {
    let mut first = [0];
    match tokio::time::timeout(HEADERS_MAX, stream.peek(&mut first)).await {
        Ok(Ok(1)) => Some(usize::from(first[0]) <= FRAME_LEN_MAX >> 8),
        _ => None,
    }
}

/// A worker that is so far behind takes no new connections; the browser tries again.
fn hand_over(stream: TcpStream, peer: SocketAddr, worker: &Commands) {
    if let Ok(socket) = stream.into_std()
        && worker.try_send(Command::Stream(Arrived { socket, peer, tls: None })).is_err()
    {
        tracing::debug!("a media connection was refused: the worker is behind");
    }
}

async fn connection(stream: TcpStream, router: Router, mut stop: watch::Receiver<bool>) {
    // Small answers and control messages must not wait for more.
    let _ = stream.set_nodelay(true);
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_MAX)
        .max_buf_size(BUFFER_LEN_MAX)
        .max_headers(HEADERS_COUNT_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades();
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = &mut served => ended,
        () = async { drop(stop.wait_for(|stop| *stop).await) } => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}
