//! The first messages, by their authors through the box's own door: signing in, writing, signing out.

use super::{
    demo::{DemoSchool, PASSWORD},
    operations::{self, Message},
};
use crate::http;
use anyhow::{Context as _, bail, ensure};
use schulhof_school::Body;
use schulhof_wire::{
    Hlc, Seq,
    api::{LoginRequest, SubmitAnswer, SubmitRequest, SubmitState, Submitted},
};

/// Writes them at the box at `url`. Doing it again changes nothing: each has a device of its own, whose number 1 it is.
pub async fn welcome(url: &str, school: &DemoSchool, now_ms: u64) -> anyhow::Result<()> {
    for message in operations::messages(school) {
        let author = message.author.login.clone();
        write(url, message, now_ms).await.with_context(|| format!("the first message by {author}"))?;
    }
    Ok(())
}

async fn write(url: &str, message: Message<'_>, now_ms: u64) -> anyhow::Result<()> {
    let login = LoginRequest { login: message.author.login.clone(), password: PASSWORD.to_owned() };
    let answer = post(url, "/api/login", "", &serde_json::to_vec(&login)?).await?;
    let cookie = answer.header("set-cookie").and_then(|c| c.split(';').next()).context("no session")?.to_owned();

    let body = Body::post(message.room, message.text);
    let operations = vec![Submitted { seq: Seq(1), at: Hlc::from_ms(now_ms), body }];
    let request = SubmitRequest { account: None, device: message.device, operations };
    let answer: SubmitAnswer = post(url, "/api/operations", &cookie, &serde_json::to_vec(&request)?).await?.json()?;
    let state = answer.results.first().map(|r| r.state);
    ensure!(matches!(state, Some(SubmitState::Saved | SubmitState::Duplicate)), "{:?}", answer.results);
    post(url, "/api/logout", &cookie, b"").await?;
    Ok(())
}

async fn post(url: &str, path: &str, cookie: &str, body: &[u8]) -> anyhow::Result<http::Answer> {
    let headers = [("cookie", cookie), ("origin", url), ("content-type", "application/json")];
    let answer = http::request("POST", &format!("{url}{path}"), &headers, Some(body)).await?;
    if !(200..300).contains(&answer.status) {
        bail!("{path}: {} {}", answer.status, answer.text());
    }
    Ok(answer)
}
