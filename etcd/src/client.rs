//! A client of etcd's JSON gateway, which tries one endpoint after the other.

use std::fmt;
use std::io::BufReader;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use ureq::Agent;

use crate::at::At;
use crate::fault::{Fault, refusal};
use crate::login::Login;
use crate::{sys, tls};

/// How long an endpoint may take to answer.
const MAX_ATTEMPT: Duration = Duration::from_secs(2);

/// The least time for an attempt, even at the deadline: an etcd that is far away does answer.
const SHORTEST: Duration = Duration::from_secs(1);

/// The error text for an endpoint that did not answer in time.
const SILENCE: &str = "no answer";

/// How many characters of an answer that is not JSON are shown.
const MAX_LINE: usize = 200;

/// The pause between two rounds over the endpoints.
const PAUSE: Duration = Duration::from_millis(50);

/// The gRPC codes of errors that no other endpoint and no later attempt would change.
const FINAL: [i64; 6] = [3, 5, 6, 7, 8, 9];
const UNAUTHENTICATED: i64 = 16;

/// A client of one cluster. A copy starts at the same endpoint, and moves on by itself.
pub struct Client {
    shared: Arc<Shared>,
    current: AtomicUsize,
    attempt: Duration,
}

struct Shared {
    agent: Agent,
    /// `http://HOST:PORT` each.
    endpoints: Vec<String>,
    login: Option<Login>,
    token: Mutex<Option<String>>,
}

impl Clone for Client {
    fn clone(&self) -> Self {
        let current = AtomicUsize::new(self.current.load(Ordering::Relaxed));
        Self { shared: Arc::clone(&self.shared), current, attempt: self.attempt }
    }
}

impl Client {
    /// Does not connect yet. An attempt takes a sixth of `ttl` at most.
    pub fn new(at: &At, ttl: Duration) -> Result<Self> {
        let scheme = if at.is_encrypted { "https" } else { "http" };
        let endpoints: Vec<_> =
            at.endpoints.iter().map(|endpoint| format!("{scheme}://{endpoint}")).collect();
        let config = Agent::config_builder().http_status_as_error(false).proxy(None).max_redirects(0);
        let config = config.tls_config(tls::config(at.is_encrypted)?).user_agent("gtlock-etcd");
        let current = AtomicUsize::new(std::process::id() as usize % endpoints.len());
        let login = Login::from_environment()?;
        let shared = Shared { agent: config.build().new_agent(), endpoints, login, token: Mutex::new(None) };
        Ok(Self { shared: Arc::new(shared), current, attempt: MAX_ATTEMPT.min(ttl / 6) })
    }

    /// Asks until there is an answer or the time is up, and each endpoint at least once.
    pub fn call(&self, path: &str, body: &Value, until: Duration) -> Result<Value, Fault> {
        let mut errors: Vec<(String, String)> = Vec::new();
        let mut attempts = 0;
        loop {
            let left = until.saturating_sub(sys::now()).max(SHORTEST);
            let error = match self.once(path, body, left) {
                Err(Fault::Unreachable(error)) => error,
                answer => return answer,
            };
            for (endpoint, error) in error {
                // An error says more than the silence of a last, short attempt.
                match errors.iter_mut().find(|(other, _)| *other == endpoint) {
                    Some(_) if error.starts_with(SILENCE) => {}
                    Some(known) => known.1 = error,
                    None => errors.push((endpoint, error)),
                }
            }
            attempts += 1;
            let is_round = attempts % self.shared.endpoints.len() == 0;
            if (is_round || attempts > self.shared.endpoints.len()) && sys::now() + PAUSE >= until {
                return Err(Fault::Unreachable(errors));
            }
            if is_round {
                thread::sleep(PAUSE);
            }
        }
    }

    /// Asks one endpoint. If it does not answer, the next request goes to another one.
    pub fn once(&self, path: &str, body: &Value, limit: Duration) -> Result<Value, Fault> {
        let answer = match self.ask(path, body, limit) {
            Err(Fault::Refused { code, message }) if self.shared.is_stale(code, &message) => {
                *self.shared.token() = None;
                self.ask(path, body, limit)
            }
            answer => answer,
        };
        match answer {
            Err(Fault::Refused { code, message }) if !FINAL.contains(&code) && code != UNAUTHENTICATED => {
                Err(self.turn(message))
            }
            // Code 8 means no space, which lasts, or too many requests, which soon pass.
            Err(Fault::Refused { code: 8, message }) if message.contains("too many requests") => {
                Err(self.turn(message))
            }
            answer => answer,
        }
    }

    fn ask(&self, path: &str, body: &Value, limit: Duration) -> Result<Value, Fault> {
        let limit = limit.min(self.attempt);
        let mut response = self
            .send(path, body.to_string(), |request| request.config().timeout_global(Some(limit)).build())?;
        let answer = self.read(&mut response)?;
        if response.status() == 200 && answer["error"].is_null() {
            let result = &answer["result"];
            let answer = if result.is_object() { result.clone() } else { answer };
            // Another program may listen here, and its answer would be read as "no key" or "no holder".
            if !answer["header"].is_object() {
                return Err(self.turn("it answers, but not as etcd does"));
            }
            return Ok(answer);
        }
        Err(refusal(&answer, response.status().as_u16()))
    }

    /// Reads the JSON of an answer. Anything else, such as the page of a proxy, is a fault.
    fn read(&self, response: &mut ureq::http::Response<ureq::Body>) -> Result<Value, Fault> {
        let text = response.body_mut().read_to_string().map_err(|e| self.failed(&e))?;
        serde_json::from_str(text.trim()).map_err(|_| {
            let line = text.trim().lines().next().unwrap_or("no text");
            self.turn(format!(
                "status {}: {}",
                response.status(),
                line.chars().take(MAX_LINE).collect::<String>()
            ))
        })
    }

    /// Starts a stream of answers to one or several requests. It lasts for `limit` at most.
    pub fn stream(
        &self,
        path: &str,
        body: String,
        limit: Duration,
    ) -> Result<impl std::io::BufRead + use<>, Fault> {
        let response = self.send(path, body, |request| {
            let config = request.header("Grpc-Metadata-hasleader", "true").config();
            let config = config.timeout_connect(Some(self.attempt)).timeout_recv_response(Some(self.attempt));
            config.timeout_recv_body(Some(limit)).build()
        })?;
        if response.status() != 200 {
            return Err(self.turn(format!("status {}", response.status())));
        }
        Ok(BufReader::new(response.into_body().into_reader()))
    }

    /// Moves on to the next endpoint.
    pub fn turn(&self, error: impl fmt::Display) -> Fault {
        let current = self.current.fetch_add(1, Ordering::Relaxed);
        let endpoint = &self.shared.endpoints[current % self.shared.endpoints.len()];
        let endpoint = endpoint.split_once("://").map_or(endpoint.as_str(), |(_, host)| host);
        Fault::Unreachable(vec![(endpoint.to_owned(), error.to_string())])
    }

    fn failed(&self, error: &ureq::Error) -> Fault {
        match error {
            ureq::Error::Io(e) if e.kind() == std::io::ErrorKind::TimedOut => self.turn(SILENCE),
            ureq::Error::Io(e) => self.turn(e),
            ureq::Error::Timeout(_) => {
                self.turn(format!("{SILENCE} within {}", gtlock::cmd::report::duration(self.attempt)))
            }
            ureq::Error::HostNotFound => self.turn("the host is not known"),
            e => self.turn(e),
        }
    }

    fn send(
        &self,
        path: &str,
        body: String,
        with: impl Fn(
            ureq::RequestBuilder<ureq::typestate::WithBody>,
        ) -> ureq::RequestBuilder<ureq::typestate::WithBody>,
    ) -> Result<ureq::http::Response<ureq::Body>, Fault> {
        let token = self.token()?;
        let current = self.current.load(Ordering::Relaxed) % self.shared.endpoints.len();
        let mut request = self.shared.agent.post(format!("{}{path}", self.shared.endpoints[current]));
        if let Some(token) = token {
            request = request.header("Authorization", token);
        }
        with(request).send(body).map_err(|e| self.failed(&e))
    }

    /// The token of the login, if there is a login.
    fn token(&self) -> Result<Option<String>, Fault> {
        let Some(login) = &self.shared.login else { return Ok(None) };
        let mut token = self.shared.token();
        if token.is_none() {
            let current = self.current.load(Ordering::Relaxed) % self.shared.endpoints.len();
            let url = format!("{}/v3/auth/authenticate", self.shared.endpoints[current]);
            let request = self.shared.agent.post(url).config().timeout_global(Some(self.attempt)).build();
            let mut response = request.send(login.body().to_string()).map_err(|e| self.failed(&e))?;
            let answer = self.read(&mut response)?;
            let Some(new) = answer["token"].as_str() else {
                return match refusal(&answer, response.status().as_u16()) {
                    // This etcd has no logins.
                    Fault::Refused { message, .. } if message.contains("authentication is not enabled") => {
                        Ok(None)
                    }
                    refused => Err(refused),
                };
            };
            *token = Some(new.to_owned());
        }
        Ok(token.clone())
    }

    /// The version of etcd.
    pub fn version(&self) -> Option<String> {
        let current = self.current.load(Ordering::Relaxed) % self.shared.endpoints.len();
        let request = self.shared.agent.get(format!("{}/version", self.shared.endpoints[current]));
        let mut response = request.config().timeout_global(Some(self.attempt)).build().call().ok()?;
        let answer: Value = serde_json::from_str(&response.body_mut().read_to_string().ok()?).ok()?;
        answer["etcdserver"].as_str().map(str::to_owned)
    }
}

impl Shared {
    fn token(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether etcd refused a token that has expired.
    fn is_stale(&self, code: i64, message: &str) -> bool {
        self.login.is_some()
            && (code == UNAUTHENTICATED
                || message.contains("auth store")
                || message.contains("user name is empty"))
    }
}
