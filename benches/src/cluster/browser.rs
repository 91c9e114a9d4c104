//! Somebody at a box: signs in, submits, asks. What is to be submitted again, and when, is the caller's.

use super::people::PASSWORD;
use anyhow::{Context as _, bail};
use schulhof_ops::http::{self, Answer, HttpError};
use schulhof_school::Body;
use schulhof_wire::{
    DeviceId,
    api::{DeviceMarks, LoginRequest, SubmitAnswer, SubmitRequest, Submitted},
};

pub struct Browser {
    url: String,
    login: String,
    pub device: DeviceId,
    cookie: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The box may or may not have got it.
    #[error(transparent)]
    Unreachable(#[from] HttpError),
    /// The box says no: status and body.
    #[error("{status} {text}")]
    Refused { status: u16, text: String },
    #[error("an answer that is none: {0}")]
    Malformed(#[from] serde_json::Error),
}

impl Browser {
    pub fn new(url: String, login: String, device: DeviceId) -> Self {
        Self { url, login, device, cookie: None }
    }

    async fn send(&self, method: &str, path: &str, body: Option<&[u8]>) -> Result<Answer, AskError> {
        let cookie = self.cookie.as_deref().unwrap_or_default();
        let headers = [("cookie", cookie), ("origin", &self.url), ("content-type", "application/json")];
        let answer = http::request(method, &format!("{}{path}", self.url), &headers, body).await?;
        if answer.status == 200 {
            return Ok(answer);
        }
        Err(AskError::Refused { status: answer.status, text: answer.text() })
    }

    /// Signs in if there is no session.
    pub async fn sign_in(&mut self) -> Result<(), AskError> {
        if self.cookie.is_some() {
            return Ok(());
        }
        let request = LoginRequest { login: self.login.clone(), password: PASSWORD.to_owned() };
        let answer = self.send("POST", "/api/login", Some(&serde_json::to_vec(&request)?)).await?;
        self.cookie = answer.header("set-cookie").and_then(|cookie| cookie.split(';').next()).map(str::to_owned);
        Ok(())
    }

    /// Of the session, once signed in.
    pub fn cookie(&self) -> Option<&str> {
        self.cookie.as_deref()
    }

    /// Signed in, one request; a session that the box does not know is forgotten.
    async fn ask<T: serde::de::DeserializeOwned>(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&[u8]>,
    ) -> Result<T, AskError> {
        self.sign_in().await?;
        match self.send(method, path, body).await {
            Ok(answer) => Ok(answer.json()?),
            Err(error) => {
                if matches!(error, AskError::Refused { status: 401, .. }) {
                    self.cookie = None;
                }
                Err(error)
            }
        }
    }

    pub async fn submit(&mut self, operations: Vec<Submitted<Body>>) -> Result<SubmitAnswer, AskError> {
        let request = SubmitRequest { account: None, device: self.device.clone(), operations };
        self.ask("POST", "/api/operations", Some(&serde_json::to_vec(&request)?)).await
    }

    pub async fn marks(&mut self) -> Result<DeviceMarks, AskError> {
        let path = format!("/api/devices/{}", self.device);
        self.ask("GET", &path, None).await
    }

    /// Any reading request.
    pub async fn get<T: serde::de::DeserializeOwned>(&mut self, path: &str) -> Result<T, AskError> {
        self.ask("GET", path, None).await
    }

    /// Signs in within a time, for runs in which nothing should fail.
    pub async fn until_signed_in(&mut self, limit: std::time::Duration) -> anyhow::Result<()> {
        let started = std::time::Instant::now();
        loop {
            match self.sign_in().await {
                Ok(()) => return Ok(()),
                Err(error) if started.elapsed() > limit => {
                    bail!("{} cannot sign in at {}: {error}", self.login, self.url)
                }
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
            }
        }
    }
}

/// A device's name.
pub fn device(name: &str) -> anyhow::Result<DeviceId> {
    DeviceId::new(name).with_context(|| format!("{name} is no identifier"))
}
