//! Being told to stop.

use tokio::signal::unix::{SignalKind, signal};

/// Resolves when the process is asked to stop: SIGTERM (systemd, `schulhof up`) or SIGINT (Ctrl-C).
///
/// The signals are caught from the first call on, even before the future is awaited.
pub fn shutdown_signal() -> impl Future<Output = ()> + Send + 'static {
    // Fails only without an IO driver or file descriptors; a process that could not be stopped must not run.
    let mut term = signal(SignalKind::terminate()).expect("SIGTERM can be caught within a tokio runtime");
    let mut int = signal(SignalKind::interrupt()).expect("SIGINT can be caught within a tokio runtime");
    async move {
        tokio::select! {
            _ = term.recv() => tracing::info!("stopping: SIGTERM"),
            _ = int.recv() => tracing::info!("stopping: SIGINT"),
        }
    }
}
