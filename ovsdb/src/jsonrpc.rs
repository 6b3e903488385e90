//! JSON-RPC 1.0 messages as OVSDB uses them (RFC 7047 §4).
//!
//! Both sides send requests, so one decoder serves client and server. Messages are written straight into the buffer
//! that goes to the socket.
//!
//! Must not: know methods.

use serde::Serialize;
use serde_json::Value;

/// A message from the other side.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Wants an answer.
    Request {
        /// What is asked for.
        method: String,
        /// With what.
        params: Vec<Value>,
        /// By which the answer is known; not null.
        id: Value,
    },
    /// Wants none.
    Notification {
        /// What is told.
        method: String,
        /// With what.
        params: Vec<Value>,
    },
    /// Is one.
    Response {
        /// The request's.
        id: Value,
        /// `result`, or `error` where that is not null.
        result: Result<Value, Value>,
    },
}

/// Why a text is no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no JSON-RPC message: {0}")]
pub struct MessageError(String);

impl Message {
    /// The text, which [`Message::parse`] reads as this message.
    pub fn to_text(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Message::Request { method, params, id } => write_request(&mut out, method, params, id),
            Message::Notification { method, params } => {
                write_request(&mut out, method, params, &Value::Null)
            }
            Message::Response { id, result } => match result {
                Ok(result) => write_result(&mut out, id, result),
                Err(error) => write_error(&mut out, id, error),
            },
        }
        out
    }

    /// Decodes a text.
    ///
    /// # Errors
    /// It is no JSON, or no message.
    pub fn parse(text: &[u8]) -> Result<Message, MessageError> {
        let value: Value =
            serde_json::from_slice(text).map_err(|error| MessageError(error.to_string()))?;
        let Value::Object(mut object) = value else {
            return Err(MessageError("no object".to_owned()));
        };
        let id = object.remove("id").unwrap_or(Value::Null);
        match object.remove("method") {
            Some(Value::String(method)) => {
                let params = match object.remove("params") {
                    Some(Value::Array(params)) => params,
                    None | Some(Value::Null) => Vec::new(),
                    Some(_) => {
                        return Err(MessageError(format!("params of {method:?} are no array")));
                    }
                };
                Ok(match id {
                    Value::Null => Message::Notification { method, params },
                    id => Message::Request { method, params, id },
                })
            }
            None | Some(Value::Null) => {
                let result = object.remove("result").unwrap_or(Value::Null);
                let error = object.remove("error").unwrap_or(Value::Null);
                match (result, error) {
                    (_, _) if id.is_null() => Err(MessageError("neither method nor id".to_owned())),
                    (result, Value::Null) => Ok(Message::Response {
                        id,
                        result: Ok(result),
                    }),
                    (Value::Null, error) => Ok(Message::Response {
                        id,
                        result: Err(error),
                    }),
                    _ => Err(MessageError("both result and error".to_owned())),
                }
            }
            Some(_) => Err(MessageError("method is no string".to_owned())),
        }
    }
}

/// Writes a request, or with a null id a notification.
pub(crate) fn write_request(out: &mut Vec<u8>, method: &str, params: &impl Serialize, id: &Value) {
    write(out, b"{\"method\":", &method);
    write(out, b",\"params\":", params);
    write(out, b",\"id\":", id);
    out.push(b'}');
}

/// Writes an answer.
pub(crate) fn write_result(out: &mut Vec<u8>, id: &Value, result: &impl Serialize) {
    write(out, b"{\"id\":", id);
    write(out, b",\"result\":", result);
    out.extend_from_slice(b",\"error\":null}");
}

/// Writes an answer that is JSON already.
pub(crate) fn write_raw_result(out: &mut Vec<u8>, id: &Value, result: &[u8]) {
    write(out, b"{\"id\":", id);
    out.extend_from_slice(b",\"result\":");
    out.extend_from_slice(result);
    out.extend_from_slice(b",\"error\":null}");
}

/// Writes a refusal.
pub(crate) fn write_error(out: &mut Vec<u8>, id: &Value, error: &impl Serialize) {
    write(out, b"{\"id\":", id);
    write(out, b",\"result\":null,\"error\":", error);
    out.push(b'}');
}

/// Appends literal bytes and a value as JSON.
pub(crate) fn write(out: &mut Vec<u8>, before: &[u8], value: &(impl Serialize + ?Sized)) {
    out.extend_from_slice(before);
    serde_json::to_writer(out, value)
        .expect("these values have string keys, and a Vec takes all bytes");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_read_as_they_are_written() {
        let mut out = Vec::new();
        write_request(&mut out, "echo", &json!(["x"]), &json!(7));
        let request = Message::Request {
            method: "echo".into(),
            params: vec![json!("x")],
            id: json!(7),
        };
        assert_eq!(Message::parse(&out), Ok(request));
        out.clear();
        write_request(&mut out, "update", &json!([]), &Value::Null);
        assert_eq!(
            Message::parse(&out),
            Ok(Message::Notification {
                method: "update".into(),
                params: vec![]
            })
        );
        out.clear();
        write_result(&mut out, &json!("id"), &json!({}));
        assert_eq!(
            Message::parse(&out),
            Ok(Message::Response {
                id: json!("id"),
                result: Ok(json!({}))
            })
        );
        out.clear();
        write_error(&mut out, &json!("id"), &json!("canceled"));
        assert_eq!(
            Message::parse(&out),
            Ok(Message::Response {
                id: json!("id"),
                result: Err(json!("canceled"))
            })
        );
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for text in [
            "{}",
            "[]",
            "{\"method\":1}",
            "{\"method\":\"x\",\"params\":{},\"id\":1}",
            "{\"id\":1,\"result\":1,\"error\":1}",
            "{\"method\":\"\\ud800\"}",
            "{\"a\"}",
            "",
        ] {
            Message::parse(text.as_bytes()).expect_err(text);
        }
        Message::parse(b"{\"method\":\"\xff\"}").expect_err("bad UTF-8");
    }
}
