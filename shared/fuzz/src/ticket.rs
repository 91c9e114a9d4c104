//! Tickets and passes: texts of anybody, and texts that a school has signed whatever stands in them.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use schulhof_placement::{TicketError, TicketKey, TicketKeys};
use schulhof_wire::{NodeName, SchoolId, pass::PassClaims, ticket::Claims};

const NOW_MS: u64 = 1_800_000_000_000;

fn key() -> TicketKey {
    TicketKey::generate(&[7; 32])
}

pub fn run(bytes: &[u8]) {
    let key = key();
    let keys: TicketKeys = [(SchoolId::new("nord").expect("a name"), key.public())].into_iter().collect();
    let node = NodeName::new("nord").expect("a name");
    if let Ok(text) = str::from_utf8(bytes) {
        let _ = keys.verify(text, NOW_MS, &node);
        let _ = keys.verify_pass(text, NOW_MS);
    }
    if let Ok(claims) = serde_json::from_slice::<Claims>(bytes) {
        let text = key.sign(&claims);
        match keys.verify(&text, NOW_MS, &node) {
            Ok(read) => assert_eq!(read, claims),
            Err(TicketError::Malformed(why)) => panic!("a signed ticket is malformed: {why}"),
            Err(TicketError::Forged) => panic!("a signed ticket is forged"),
            Err(_) => {}
        }
        assert!(keys.verify_pass(&text, NOW_MS).is_err(), "a ticket is no pass");
    }
    if let Ok(claims) = serde_json::from_slice::<PassClaims>(bytes) {
        let text = key.sign_pass(&claims);
        let _ = keys.verify_pass(&text, NOW_MS);
        assert!(keys.verify(&text, NOW_MS, &node).is_err(), "a pass is no ticket");
    }
    // The claims as they are, under a signature of nobody.
    let _ = keys.verify(&format!("{}.{}", BASE64URL.encode(bytes), BASE64URL.encode([0; 64])), NOW_MS, &node);
}

pub fn seeds() -> Vec<Vec<u8>> {
    let claims = r#"{"v":1,"id":"t1","school":"nord","room":"math","account":"anna","name":"Anna","role":"participant","audio_slots":3,"video_slots":9,"primary":{"name":"nord","kind":"box","url":"http://localhost"},"standby":null,"expires_at_ms":1900000000000}"#;
    let ticket: Claims = serde_json::from_str(claims).expect("the claims of a ticket");
    vec![key().sign(&ticket).into_bytes(), claims.as_bytes().to_vec()]
}
