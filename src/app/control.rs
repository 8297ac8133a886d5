//! The unix socket on which the running gate answers the person who runs it: one line asked, one
//! JSON document answered. Only the gate's own user can open it.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::AppError;
use super::status::Reporter;

/// Where the socket is, below the data directory.
pub fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}

const QUESTION_BYTES_MAX: u64 = 256;
/// Whoever connects and does not ask is dropped.
const QUESTION_LIMIT: Duration = Duration::from_secs(5);

/// Binds the socket. The data directory is locked, so one that is already there is a dead gate's.
pub(super) fn bind(data_dir: &Path) -> Result<UnixListener, AppError> {
    let path = socket_path(data_dir);
    let failed = |source| AppError::File { path: path.clone(), source };
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&path).map_err(failed)?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

/// Answers, one asker at a time, for as long as it is polled.
pub(super) async fn serve(listener: UnixListener, reporter: Arc<Reporter>) {
    let Ok(listener) = tokio::net::UnixListener::from_std(listener) else { return };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = timeout(QUESTION_LIMIT, answer(stream, &reporter)).await;
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn answer(mut stream: UnixStream, reporter: &Reporter) -> io::Result<()> {
    let mut question = Vec::new();
    let mut byte = [0];
    while question.len() < QUESTION_BYTES_MAX as usize && stream.read(&mut byte).await? == 1 && byte != *b"\n" {
        question.extend_from_slice(&byte);
    }
    let answer = match question.as_slice() {
        b"status" => serde_json::to_string(&reporter.report()).unwrap_or_default(),
        _ => r#"{"error":"unknown question"}"#.to_owned(),
    };
    stream.write_all(answer.as_bytes()).await?;
    stream.write_all(b"\n").await
}

/// Asks the gate that runs on this data directory for its status, as JSON.
///
/// # Errors
/// No gate runs there, or the socket is another user's.
pub fn ask_status(data_dir: &Path) -> io::Result<String> {
    use std::io::{Read, Write};
    let mut stream = std::os::unix::net::UnixStream::connect(socket_path(data_dir))?;
    stream.set_read_timeout(Some(QUESTION_LIMIT))?;
    stream.write_all(b"status\n")?;
    let mut answer = String::new();
    stream.take(1 << 20).read_to_string(&mut answer)?;
    Ok(answer)
}
