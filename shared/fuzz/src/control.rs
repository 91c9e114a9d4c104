//! JSON of clients: what comes on a control channel, and the body of a join.

use schulhof_wire::media::{JoinRequest, ToNode};

pub fn run(bytes: &[u8]) {
    if let Ok(message) = serde_json::from_slice::<ToNode>(bytes) {
        let text = serde_json::to_vec(&message).expect("plain data");
        serde_json::from_slice::<ToNode>(&text).expect("what was understood once is understood again");
    }
    if let Ok(join) = serde_json::from_slice::<JoinRequest>(bytes) {
        serde_json::to_vec(&join).expect("plain data");
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    [
        r#"{"type":"publish","microphone":true,"camera":true,"screen":false}"#,
        r#"{"type":"view","tiles":[{"participant":"ticket-1","kind":"camera","height":180}]}"#,
        r#"{"type":"moderate","order":{"type":"lock","kind":"microphone","on":true}}"#,
        r#"{"type":"moderate","order":{"type":"role","account":"ben","role":"moderator"}}"#,
        r#"{"type":"hand","raised":true}"#,
        r#"{"type":"ping","n":4294967295}"#,
        r#"{"ticket":"a.b","offer":"v=0\r\n"}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
