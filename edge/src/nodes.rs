//! Which core node a box asks next.
//!
//! What this is: the order of dialling, as a value. What it must not do: dial, wait, or know why a connection ended beyond
//! [`Ended`]. A box that comes to a node which does not lead its school is sent on, and both have paid a handshake for nothing;
//! after an outage thousands do so at once. So the node that led before is asked first and more often than the others.

use schulhof_net::{
    identity::{PeerIdentity, Role},
    quic::{Expected, HANDSHAKE_MAX},
};
use schulhof_sync::Redirect;
use schulhof_wire::NodeName;
use std::{net::SocketAddr, time::Duration};

/// The node that was lost is asked again at once, and given up after this long: if the line was cut it still leads, if it died
/// another one leads by now.
const AGAIN_MAX: Duration = Duration::from_millis(700);
/// Without an answer from anybody, every third try goes to another node than the one that led.
const ELSEWHERE_EVERY: u32 = 3;

/// A node of the core.
#[derive(Debug, Clone)]
pub struct Node {
    pub name: NodeName,
    pub addr: SocketAddr,
    pub expected: Expected,
}

impl Node {
    pub fn new(name: &NodeName, addr: SocketAddr) -> anyhow::Result<Self> {
        let expected = Expected::Node(PeerIdentity::new(Role::Core, name.as_str())?);
        Ok(Self { name: name.clone(), addr, expected })
    }
}

/// How a connection ended, or that none came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    Redirected(Redirect),
    /// The node was killed and is there again: it led, and is likely to lead again.
    Restarted,
    /// Nothing came any more.
    TimedOut,
    Otherwise,
}

/// The core's nodes, and what is known of who leads.
#[derive(Debug)]
pub struct Nodes {
    configured: Vec<Node>,
    turn: usize,
    redirect: Option<Redirect>,
    /// Where the box was welcome last.
    led: Option<Node>,
    /// Since then.
    tries: u32,
    /// Whether the try under way follows a redirect.
    redirected: bool,
    /// Where a redirect led to nobody.
    deserted: Option<SocketAddr>,
}

impl Nodes {
    /// `turn`: boxes begin at different nodes. `configured` has one node at least.
    pub fn new(configured: Vec<Node>, turn: usize) -> Self {
        Self { configured, turn, redirect: None, led: None, tries: 0, redirected: false, deserted: None }
    }

    /// Whom to ask, and how long to wait for its answer.
    pub fn choose(&mut self) -> (Node, Duration) {
        let named = self.redirect.take().and_then(|redirect| self.named(&redirect));
        self.redirected = named.is_some();
        if let Some(node) = named {
            return (node, HANDSHAKE_MAX);
        }
        let tries = self.tries;
        self.tries = self.tries.wrapping_add(1);
        match &self.led {
            Some(led) if tries % ELSEWHERE_EVERY != 1 => {
                (led.clone(), if tries == 0 { AGAIN_MAX } else { HANDSHAKE_MAX })
            }
            _ => {
                self.turn = (self.turn + 1) % self.configured.len();
                (self.configured[self.turn].clone(), HANDSHAKE_MAX)
            }
        }
    }

    /// How asking that node ended; `welcome`: the box had been taken there.
    pub fn ended(&mut self, node: &Node, end: Ended, welcome: bool) {
        if self.redirected {
            let nobody = !welcome && matches!(end, Ended::TimedOut | Ended::Otherwise);
            self.deserted = nobody.then_some(node.addr);
        }
        if welcome {
            self.led = Some(node.clone());
            // A node that closes is stopping, or leads no more.
            self.tries = u32::from(end == Ended::Otherwise);
        }
        match end {
            Ended::Redirected(redirect) => self.redirect = Some(redirect),
            Ended::Restarted => {
                self.led = Some(node.clone());
                self.tries = 0;
            }
            Ended::TimedOut | Ended::Otherwise => {}
        }
    }

    /// The node that a redirect names: a configured one, or one that came to the core since. Its certificate must say the
    /// same name either way. The core's own address of a node may lead nowhere from here (behind a router, over a proxy): a
    /// configured one comes first, unless the redirect before led to nobody there.
    fn named(&self, redirect: &Redirect) -> Option<Node> {
        let name = redirect.leader.as_ref()?;
        let configured = self.configured.iter().find(|node| node.name == *name);
        match (configured, redirect.address) {
            (Some(node), address) if address.is_none() || self.deserted != Some(node.addr) => Some(node.clone()),
            (_, Some(addr)) => Node::new(name, addr).ok(),
            (_, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    fn three() -> Nodes {
        let node = |n: u8| Node::new(&name(&format!("core-{n}")), SocketAddr::from(([192, 0, 2, n], 1))).unwrap();
        Nodes::new((1..=3).map(node).collect(), 0)
    }

    /// The names of those that are asked while nobody answers.
    fn asked(nodes: &mut Nodes, tries: usize) -> Vec<String> {
        let ask = |_| {
            let (node, _) = nodes.choose();
            nodes.ended(&node, Ended::TimedOut, false);
            node.name.to_string()
        };
        (0..tries).map(ask).collect()
    }

    #[test]
    fn a_redirect_leads_to_the_configured_address_first_and_to_the_cores_own_if_nobody_is_there() {
        let [ours, theirs, new] = ["192.0.2.1:1", "192.0.2.22:2", "192.0.2.33:3"].map(|addr| addr.parse().unwrap());
        let to = |leader, address, deserted| {
            let nodes = Nodes { deserted, ..three() };
            nodes.named(&Redirect { leader: Some(name(leader)), address }).map(|node| node.addr)
        };
        assert_eq!(to("core-1", Some(theirs), None), Some(ours));
        assert_eq!(to("core-1", Some(theirs), Some(ours)), Some(theirs));
        assert_eq!(to("core-1", Some(theirs), Some(theirs)), Some(ours));
        assert_eq!(to("core-1", None, Some(ours)), Some(ours));
        assert_eq!((to("core-9", Some(new), None), to("core-9", None, None)), (Some(new), None));
    }

    #[test]
    fn everybody_is_asked_in_turn_until_a_redirect_names_one() {
        let mut nodes = three();
        assert_eq!(asked(&mut nodes, 4), ["core-2", "core-3", "core-1", "core-2"]);
        let (node, _) = nodes.choose();
        let redirect = Redirect { leader: Some(name("core-1")), address: None };
        nodes.ended(&node, Ended::Redirected(redirect), false);
        assert_eq!(asked(&mut nodes, 1), ["core-1"]);
    }

    #[test]
    fn after_a_cut_the_node_that_led_is_asked_first_and_again_between_the_others() {
        let mut nodes = three();
        let (led, _) = nodes.choose();
        nodes.ended(&led, Ended::TimedOut, true);
        let (again, patience) = nodes.choose();
        assert_eq!((again.name, patience), (led.name.clone(), AGAIN_MAX));
        assert_eq!(asked(&mut nodes, 6), ["core-3", "core-2", "core-2", "core-1", "core-2", "core-2"]);
    }

    #[test]
    fn a_node_that_said_farewell_is_not_asked_at_once_and_one_that_was_started_again_is() {
        let mut nodes = three();
        let (led, _) = nodes.choose();
        nodes.ended(&led, Ended::Otherwise, true);
        assert_eq!(asked(&mut nodes, 2), ["core-3", "core-2"]);
        nodes.ended(&led, Ended::Restarted, false);
        assert_eq!(asked(&mut nodes, 1), ["core-2"]);
    }
}
