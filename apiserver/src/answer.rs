//! Bodies of answers: in one piece, or as they are made.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::Value;
use tokio::sync::mpsc::Receiver;

/// What every request gets.
pub(crate) type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// One JSON document.
pub(crate) fn json(code: StatusCode, value: &Value) -> Answer {
    whole(code, JSON, value.to_string().into())
}

/// One JSON document that is written already.
pub(crate) fn json_bytes(code: StatusCode, text: Vec<u8>) -> Answer {
    whole(code, JSON, text.into())
}

/// A line of text.
pub(crate) fn text(line: &'static str) -> Answer {
    whole(StatusCode::OK, TEXT, line.into())
}

/// JSON that is made while it is sent.
pub(crate) fn stream(body: impl Body<Data = Bytes, Error = Infallible> + Send + 'static) -> Answer {
    typed(StatusCode::OK, JSON, body)
}

/// A body of chunks that somebody sends; it ends when the sender drops.
pub(crate) struct Chunks(pub Receiver<Bytes>);

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

fn whole(code: StatusCode, media_type: HeaderValue, text: Bytes) -> Answer {
    typed(code, media_type, Full::new(text))
}

fn typed(
    code: StatusCode,
    media_type: HeaderValue,
    body: impl Body<Data = Bytes, Error = Infallible> + Send + 'static,
) -> Answer {
    let mut answer = Response::new(body.boxed_unsync());
    *answer.status_mut() = code;
    answer.headers_mut().insert(CONTENT_TYPE, media_type);
    answer
}
