//! Cuts a byte stream into messages, and decodes each.
//!
//! A message whose body is wrong does not end the stream: its length is known, so the next one is found. Only a header that
//! cannot be a header does.
//!
//! Must not: hold more than one message that is not complete (65,535 bytes).

use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use crate::error::DecodeError;
use crate::header::{HEADER_LENGTH, Header};
use crate::message::Message;
use crate::wire::Reader;

/// The codec for `tokio_util`'s framed streams: whole messages as bytes out, [`Received`] in.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenFlowCodec;

/// A message as it was received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Its header.
    pub header: Header,
    /// What it says, or what is wrong with it.
    pub message: Result<Message, DecodeError>,
    /// All its bytes, for recording.
    pub bytes: Bytes,
}

/// Why a stream cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum FramingError {
    /// The peer speaks something else.
    #[error("the peer does not speak OpenFlow: {0}")]
    Header(#[source] DecodeError),
    /// The stream failed, or ended within a message.
    #[error("the stream failed: {0}")]
    Io(#[from] std::io::Error),
}

impl Decoder for OpenFlowCodec {
    type Item = Received;
    type Error = FramingError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Received>, FramingError> {
        let Some(start) = buffer.get(..HEADER_LENGTH) else {
            return Ok(None);
        };
        let header =
            Header::decode(&mut Reader::new("message", start)).map_err(FramingError::Header)?;
        let length = usize::from(header.length);
        if buffer.len() < length {
            buffer.reserve(length.saturating_sub(buffer.len()));
            return Ok(None);
        }
        let bytes = buffer.split_to(length).freeze();
        let message = Message::decode(&bytes).map(|(_, message)| message);
        Ok(Some(Received {
            header,
            message,
            bytes,
        }))
    }
}

impl Encoder<Bytes> for OpenFlowCodec {
    type Error = FramingError;

    fn encode(&mut self, message: Bytes, buffer: &mut BytesMut) -> Result<(), FramingError> {
        buffer.extend_from_slice(&message);
        Ok(())
    }
}
