//! Four words that box and core derive from what each of them has seen: the invitation, the box's key, the core's CA.
//! Whoever sits between them has another key or another CA, and the words differ.
//!
//! The words are the same in German and English, differ from each other in their first four letters, and are numbered: changing
//! the list changes the protocol. 256 of them, a byte each: one chance in four billion that two boxes look alike.

use super::TokenId;
use crate::identity::{Fingerprint, KeyHash, sha256};

const COUNT: usize = 4;

/// Bytes of SHA-256 over `schulhof-words/1\n`, token id, key hash and fingerprint of the CA, a word for each of the first four.
pub fn words(token: TokenId, key: KeyHash, ca: Fingerprint) -> String {
    let hash = sha256(&[b"schulhof-words/1\n", &token.0[..], &key.0, &ca.0].concat());
    let words: Vec<&str> = hash[..COUNT].iter().map(|byte| LIST[usize::from(*byte)]).collect();
    words.join(" ")
}

#[rustfmt::skip]
const LIST: [&str; 256] = [
    "alarm", "album", "alibi", "alpha", "ampere", "angora", "aroma", "atlas", "atom", "aura", "auto", "baby",
    "banjo", "baron", "basalt", "basis", "beige", "beta", "bikini", "bingo", "bison", "blond", "bluff", "bonus",
    "bravo", "bronze", "butler", "cello", "chaos", "chip", "clown", "club", "code", "collie", "comic", "cousin",
    "cowboy", "curry", "delta", "demo", "depot", "design", "detail", "diadem", "dinner", "dollar", "domino", "drama",
    "dynamo", "echo", "export", "extra", "film", "filter", "final", "finger", "fjord", "flora", "forum", "foyer",
    "fusion", "gala", "gamma", "garage", "gecko", "giro", "golf", "gong", "gospel", "gratis", "hammer", "hobby",
    "hockey", "horn", "hotel", "human", "humor", "husky", "hydra", "idol", "image", "import", "index", "info",
    "iris", "jaguar", "jazz", "jeans", "joker", "judo", "jumbo", "junior", "jury", "karate", "karma", "kilt",
    "kimono", "kiosk", "kiwi", "koala", "krill", "laser", "lava", "limbo", "limit", "linear", "liter", "logo",
    "lotion", "lotus", "lunch", "lyra", "magma", "major", "manga", "marina", "marker", "medium", "mentor", "meter",
    "metro", "mikado", "minus", "mixer", "modem", "moment", "moped", "motor", "mungo", "museum", "nadir", "nebula",
    "neon", "netto", "nickel", "ninja", "nougat", "nylon", "oboe", "okapi", "omega", "opal", "opus", "orange",
    "orion", "panda", "panel", "parade", "park", "party", "pasta", "patent", "pause", "person", "pesto", "phase",
    "piano", "pilot", "pixel", "pizza", "planet", "plasma", "podium", "poet", "polar", "polka", "pony", "portal",
    "poster", "prisma", "puma", "puzzle", "pyjama", "python", "quark", "quasi", "quiz", "radar", "radius", "rally",
    "revue", "ring", "ritual", "rodeo", "rosa", "safari", "salami", "salon", "salsa", "samba", "sand", "satin",
    "sauna", "schema", "scout", "sensor", "serum", "signal", "silo", "sitar", "sketch", "slalom", "slogan", "sofa",
    "sonar", "spray", "sprint", "statue", "stereo", "strand", "studio", "sultan", "super", "sushi", "symbol",
    "system", "talent", "tandem", "tango", "tapir", "taxi", "teddy", "tempo", "tennis", "tenor", "test", "tiger",
    "titan", "toast", "tofu", "torso", "total", "trance", "trend", "trio", "tuba", "tundra", "tunnel", "turban",
    "twist", "ultra", "union", "vase", "veto", "video", "viola", "vision", "volt", "watt", "wigwam", "wind",
    "winter", "yeti", "yoga", "zebra", "zone",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn words_cannot_be_taken_for_each_other() {
        assert!(LIST.is_sorted());
        let beginnings: BTreeSet<&str> = LIST.iter().map(|word| &word[..4]).collect();
        assert_eq!(beginnings.len(), LIST.len());
        assert!(LIST.iter().all(|word| word.len() <= 8 && word.bytes().all(|b| b.is_ascii_lowercase())));
    }

    #[test]
    fn another_box_another_token_or_another_core_has_other_words() {
        let (token, key, ca) = (TokenId([1; 32]), KeyHash([2; 32]), Fingerprint([3; 32]));
        let own = words(token, key, ca);
        assert_eq!(own.split(' ').count(), COUNT);
        assert_eq!(own, words(token, key, ca));
        assert_eq!(own, "taxi baby husky krill", "a change of the words is a change of the protocol");
        for other in [
            words(TokenId([9; 32]), key, ca),
            words(token, KeyHash([9; 32]), ca),
            words(token, key, Fingerprint([9; 32])),
        ] {
            assert_ne!(own, other);
        }
    }
}
