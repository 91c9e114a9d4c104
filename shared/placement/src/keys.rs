//! Which keys may sign for a school: its box's, and those of the gateways that serve it too.

use crate::ticket::PublicKey;
use schulhof_wire::SchoolId;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::collections::BTreeMap;

/// Keys of one school at once: the box's, a new one during a change, and a few gateways'. Each may cost a verification.
pub const KEYS_MAX: usize = 8;

/// The schools that a node serves, each with its keys. In configurations a school has one key or a list of them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TicketKeys(BTreeMap<SchoolId, Keys>);

/// In the order in which they are tried.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Keys(Vec<PublicKey>);

impl Serialize for Keys {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            many => many.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Keys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a public key in base64url, or a list of them")]
        enum OneOrMany {
            One(PublicKey),
            Many(Vec<PublicKey>),
        }
        let keys = match OneOrMany::deserialize(deserializer)? {
            OneOrMany::One(key) => vec![key],
            OneOrMany::Many(keys) => keys,
        };
        if keys.is_empty() || keys.len() > KEYS_MAX {
            return Err(D::Error::custom(format!("1 to {KEYS_MAX} keys per school, there are {}", keys.len())));
        }
        Ok(Self(keys))
    }
}

impl FromIterator<(SchoolId, PublicKey)> for TicketKeys {
    fn from_iter<I: IntoIterator<Item = (SchoolId, PublicKey)>>(keys: I) -> Self {
        let mut all = Self::default();
        for (school, key) in keys {
            all.insert(school, key);
        }
        all
    }
}

impl TicketKeys {
    /// One more key of a school. Past [`KEYS_MAX`] the oldest one goes.
    pub fn insert(&mut self, school: SchoolId, key: PublicKey) {
        let keys = &mut self.0.entry(school).or_default().0;
        if !keys.contains(&key) {
            if keys.len() >= KEYS_MAX {
                keys.remove(0);
            }
            keys.push(key);
        }
    }

    /// None for a school that is not known.
    pub fn get(&self, school: &SchoolId) -> Option<&[PublicKey]> {
        self.0.get(school).map(|keys| keys.0.as_slice())
    }

    pub fn schools(&self) -> impl Iterator<Item = &SchoolId> {
        self.0.keys()
    }
}
