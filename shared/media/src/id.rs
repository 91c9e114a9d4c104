//! Names of connections, and why they end.

use std::{fmt, str::FromStr};

/// One connection of one participant. Secret: whoever knows it may open the control channel. 128 random bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub(crate) [u8; SessionId::LEN]);

/// Why a text is not a session's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a session is named by 32 lower-case hexadecimal digits")]
pub struct SessionIdError;

impl SessionId {
    const LEN: usize = 16;
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Logs get the beginning only: the whole name is a secret.
impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({:02x}{:02x}..)", self.0[0], self.0[1])
    }
}

impl FromStr for SessionId {
    type Err = SessionIdError;

    fn from_str(text: &str) -> Result<Self, SessionIdError> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(SessionIdError),
        };
        let text: &[u8; 2 * Self::LEN] = text.as_bytes().try_into().map_err(|_| SessionIdError)?;
        let mut id = [0; Self::LEN];
        for (byte, pair) in id.iter_mut().zip(text.as_chunks::<2>().0) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(id))
    }
}

/// Why a connection ended; the text form is what `ToClient::Closing` carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaveReason {
    /// The control channel was closed by the client: it left.
    Left,
    /// The node is being emptied.
    Draining,
    /// The same ticket joined again.
    Replaced,
    /// The conference was ended.
    RoomClosed,
    /// A moderator has sent the person away.
    Removed,
    /// A moderator did not let the person in.
    Refused,
    /// The control channel stayed silent.
    Idle,
    /// Who stood by came over, and the room has no place any more.
    RoomFull,
    /// No handshake in time, a wrong certificate, or no packet for too long.
    TransportFailed,
}

impl LeaveReason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Draining => "draining",
            Self::Replaced => "replaced",
            Self::RoomClosed => "room-closed",
            Self::Removed => "removed",
            Self::Refused => "refused",
            Self::Idle => "idle",
            Self::RoomFull => "full",
            Self::TransportFailed => "transport-failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_name_survives_its_text_form_and_nothing_else_is_one() {
        let id = SessionId(*b"0123456789abcdef");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("".parse::<SessionId>(), Err(SessionIdError));
        assert_eq!("g".repeat(32).parse::<SessionId>(), Err(SessionIdError));
        assert_eq!(format!("{id}0").parse::<SessionId>(), Err(SessionIdError));
    }
}
