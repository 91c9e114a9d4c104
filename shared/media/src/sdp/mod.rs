//! The offer of a browser and the node's answer (RFC 8866, RFC 8829). One exchange per connection; see
//! [`schulhof_wire::media`] for the m-lines that a client offers, and in which order.

mod answer;
mod offer;

pub(crate) use answer::{Parameters, Role, SlotParameters, answer};
#[cfg(test)]
use offer::OfferError;
pub(crate) use offer::{Direction, Extensions, Line, Medium, Offer};

pub(crate) const URI_MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
pub(crate) const URI_RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
pub(crate) const URI_REPAIRED_RID: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
pub(crate) const URI_AUDIO_LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
pub(crate) const URI_TRANSPORT_CC: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

#[cfg(test)]
mod tests;
