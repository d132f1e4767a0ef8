//! What a check of one proxy is asked, and the way it takes into a child process or a guest.

use std::fmt;

use lab::topology::Shape;
use serde::{Deserialize, Serialize};

use crate::kube_proxy::KubeProxyFile;

/// Before the JSON of a [`Job`], which tells it from a cell's.
const PREFIX: &str = "check ";

/// What is checked of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// What it does with packets.
    Behaviours,
    /// What it costs to make VIPs local, which takes an emulated guest as long as all the rest.
    Costs,
}

/// The check of one proxy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its name.
    pub proxy: String,
    /// Of which part.
    pub part: Part,
    /// Its file, if it is a kube-proxy.
    pub kube_proxy: KubeProxyFile,
    /// Where.
    pub topology: Shape,
    /// Whether with Services of IPv4.
    pub ipv4: bool,
    /// Whether with Services of IPv6.
    pub ipv6: bool,
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            Part::Behaviours => f.write_str(&self.proxy),
            Part::Costs => write!(f, "{}: cost of VIPs", self.proxy),
        }
    }
}

impl Job {
    /// The job as text.
    ///
    /// # Errors
    /// None that a job could cause.
    pub fn payload(&self) -> serde_json::Result<String> {
        Ok(format!("{PREFIX}{}", serde_json::to_string(self)?))
    }

    /// The job in such a text; nothing if it is something else.
    pub fn of(payload: &str) -> Option<serde_json::Result<Self>> {
        payload.strip_prefix(PREFIX).map(serde_json::from_str)
    }
}

/// Does the job of a payload, if it is a check, and gives its answer as JSON.
pub fn handle(payload: &str) -> Option<Result<String, String>> {
    Some(Job::of(payload)?.map_err(|error| format!("the check's job: {error}")).and_then(|job| {
        serde_json::to_string(&super::run(&job)).map_err(|error| error.to_string())
    }))
}
