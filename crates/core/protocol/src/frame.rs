//! A whole request or response as it travels: length, header, body. Knows nothing of sockets.

use bytes::BytesMut;

use crate::messages::{RequestHeader, ResponseHeader};
use crate::{ApiKey, DecodeError, Decoder, EncodeError, Encoder, External, Message, Request, Utf8Bytes};

/// A frame with its length prefix, ready to be sent.
#[derive(Debug)]
pub struct Frame {
    /// The bytes, the length included.
    pub bytes: BytesMut,
    /// What the sender splices in; the length counts it already.
    pub external: Vec<External>,
}

/// The frame of a request.
pub fn encode_request<R: Request>(
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: Option<Utf8Bytes>,
) -> Result<Frame, EncodeError> {
    let header = RequestHeader {
        request_api_key: R::KEY.code(),
        request_api_version: version,
        correlation_id,
        client_id,
        ..RequestHeader::default()
    };
    encode(&header, R::KEY.request_header_version(version), request, version)
}

/// The frame of a response to a request of `key` and `version`.
pub fn encode_response<M: Message>(
    key: ApiKey,
    version: i16,
    correlation_id: i32,
    response: &M,
) -> Result<Frame, EncodeError> {
    let header = ResponseHeader { correlation_id, ..ResponseHeader::default() };
    encode(&header, key.response_header_version(version), response, version)
}

/// Reads the header of a request whose length prefix is gone. Fails for an API that does not exist; whether its version
/// does is for the caller, who may have to answer to it (KIP-511).
pub fn decode_request_header(decoder: &mut Decoder) -> Result<(ApiKey, RequestHeader), DecodeError> {
    let mut ahead = decoder.clone();
    let key = ApiKey::try_from(ahead.int16()?)?;
    let version = ahead.int16()?;
    let header = RequestHeader::decode(decoder, key.request_header_version(version))?;
    Ok((key, header))
}

/// Reads the header of a response and the body after it.
pub fn decode_response<R: Request>(
    decoder: &mut Decoder,
    version: i16,
) -> Result<(ResponseHeader, R::Response), DecodeError> {
    let header = ResponseHeader::decode(decoder, R::KEY.response_header_version(version))?;
    let response = R::Response::decode(decoder, version)?;
    Ok((header, response))
}

fn encode(
    header: &impl Message,
    header_version: i16,
    body: &impl Message,
    version: i16,
) -> Result<Frame, EncodeError> {
    let mut encoder = Encoder::new();
    encoder.int32(0);
    header.encode(&mut encoder, header_version)?;
    body.encode(&mut encoder, version)?;
    encoder.fill_frame_length()?;
    let (bytes, external) = encoder.finish();
    Ok(Frame { bytes, external })
}

#[cfg(test)]
mod tests;
