//! A stream within TLS, whose errors say what they mean.
//!
//! Must not: hide the end of a stream from whoever frames messages on it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::ProtocolVersion;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use super::failure::{Ours, TlsFailure};
use super::rustls_error;

pub(crate) struct Secured {
    stream: TlsStream<TcpStream>,
    ours: Arc<Ours>,
    /// The peer may still refuse our certificate: in TLS 1.3 who dials learns of that only now.
    is_on_trial: bool,
}

impl Secured {
    pub(super) fn new(stream: TlsStream<TcpStream>, ours: Arc<Ours>) -> Secured {
        let version = stream.get_ref().1.protocol_version();
        let is_on_trial =
            matches!(stream, TlsStream::Client(_)) && version == Some(ProtocolVersion::TLSv1_3);
        Secured {
            stream,
            ours,
            is_on_trial,
        }
    }

    /// `None`: the peer has ended the stream.
    fn explain(&self, error: io::Error) -> Option<io::Error> {
        if let Some(cause) = rustls_error(&error) {
            return Some(io::Error::other(TlsFailure::of_error(cause, &self.ours)));
        }
        let is_end = matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
        );
        match error.kind() {
            _ if is_end && self.is_on_trial => Some(io::Error::other(self.closed_at_once())),
            // Without a farewell, as from a process that was killed. Whoever frames messages sees whether one is cut off.
            io::ErrorKind::UnexpectedEof => None,
            _ => Some(error),
        }
    }

    fn closed_at_once(&self) -> TlsFailure {
        TlsFailure::ClosedAtOnce {
            certificate: self.ours.files.certificate.clone(),
        }
    }

    /// A write that failed: what the peer said last, which tells more than that it no longer listens.
    fn explain_write(&mut self, cx: &mut Context<'_>, error: io::Error) -> io::Error {
        let mut last_words = [0; 1024];
        if self.is_on_trial
            && let Poll::Ready(Err(said)) =
                Pin::new(&mut self.stream).poll_read(cx, &mut ReadBuf::new(&mut last_words))
            && let Some(cause) = rustls_error(&said)
        {
            return io::Error::other(TlsFailure::of_error(cause, &self.ours));
        }
        let kind = error.kind();
        self.explain(error).unwrap_or_else(|| kind.into())
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        Poll::Ready(
            match ready!(Pin::new(&mut self.stream).poll_read(cx, buffer)) {
                Ok(()) if buffer.filled().len() > before => {
                    self.is_on_trial = false;
                    Ok(())
                }
                Ok(()) if self.is_on_trial && buffer.remaining() > 0 => {
                    Err(io::Error::other(self.closed_at_once()))
                }
                Ok(()) => Ok(()),
                Err(error) => self.explain(error).map_or(Ok(()), Err),
            },
        )
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        Poll::Ready(written.map_err(|error| self.explain_write(cx, error)))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        Poll::Ready(flushed.map_err(|error| self.explain_write(cx, error)))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
