//! The order to stop, as every part of the box waits for it.

use tokio::sync::watch;

/// Gives the order. Dropping it is the order too.
pub struct Stopper(watch::Sender<bool>);

/// Waits for the order.
#[derive(Clone)]
pub struct Stop(watch::Receiver<bool>);

pub fn channel() -> (Stopper, Stop) {
    let (send, receive) = watch::channel(false);
    (Stopper(send), Stop(receive))
}

impl Stopper {
    pub fn stop(&self) {
        // No receivers: nothing is left to stop.
        let _ = self.0.send(true);
    }
}

impl Stop {
    /// Resolves when the box stops.
    pub async fn ordered(&mut self) {
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}
