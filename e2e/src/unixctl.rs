//! Asking an Open vSwitch daemon something, as `ovs-appctl` does, without starting a program for it.
//!
//! Source: `lib/unixctl.c`: JSON-RPC, one request, one answer.
//!
//! Must not: wait for ever.

use std::{path::Path, time::Duration};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

use crate::patience::scaled;

/// Calls a command and returns its text.
pub(crate) async fn call(
    socket: &Path,
    command: &str,
    arguments: &[&str],
) -> anyhow::Result<String> {
    timeout(
        scaled(PATIENCE),
        call_without_end(socket, command, arguments),
    )
    .await
    .with_context(|| {
        format!(
            "{}: {command} was not answered within {:?}",
            socket.display(),
            scaled(PATIENCE)
        )
    })?
    .with_context(|| format!("{}: {command} {}", socket.display(), arguments.join(" ")))
}

async fn call_without_end(
    socket: &Path,
    command: &str,
    arguments: &[&str],
) -> anyhow::Result<String> {
    let mut stream = UnixStream::connect(socket).await?;
    let request = json!({ "id": 0, "method": command, "params": arguments }).to_string();
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            bail!("closed without an answer");
        }
        if bytes.len() > ANSWER_MAX {
            bail!("an answer of more than {ANSWER_MAX} bytes");
        }
        let Some(answer) = serde_json::Deserializer::from_slice(&bytes)
            .into_iter::<Value>()
            .next()
        else {
            continue;
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if error.is_eof() => continue,
            Err(error) => return Err(error.into()),
        };
        return match (answer["result"].as_str(), answer["error"].as_str()) {
            (Some(text), _) => Ok(text.to_owned()),
            (None, Some(text)) => bail!("{}", text.trim()),
            (None, None) => bail!("unexpected answer {answer}"),
        };
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
const ANSWER_MAX: usize = 64 << 20;
